"""The command ``dsr``: every command of the product, each group imported only when it is called or explained."""

import runpy
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from pydantic_core import ValidationError
from typer.core import TyperGroup
from typer.main import get_command, get_group

from shared.domain.errors import DsrError, misread
from shared.domain.topics import ServiceName

COMMANDS: Mapping[str, str] = {
    "health": "shared.app.health_check:health",
    "migrate": "shared.storage.commands:migrate",
    "key": "shared.storage.commands:key",
    "api-key": "services.intake.commands:api_key",
    "downstreams": "shared.downstreams.commands:downstreams",
    "evidence": "shared.storage.commands:evidence",
    "certificate": "shared.storage.commands:certificate",
    "groups": "shared.messaging.commands:groups",
    "redate": "services.intake.commands:redate",
    "time-limit": "services.deadline.time_limit:main",
}
"""Where each command stands: a function, or a ``Typer`` with commands of its own."""


class _Imported(TyperGroup):
    """A group whose commands are imported on demand: a service must not load what it does not run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        single = typer.Typer(add_completion=False)
        if not isinstance(found, typer.Typer):
            single.command()(found)
        command: Any = get_group(found) if isinstance(found, typer.Typer) else get_command(single)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Imported, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def _dsr() -> None:
    """Run and operate the data subject request platform; settings come from the environment (DSR_…)."""


@app.command()
def run(service: Annotated[ServiceName, typer.Argument()]) -> None:
    """Run a service until SIGTERM."""
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=True)


def main() -> None:
    """Runs the command line; a failure is one line and status 1, wrong usage typer's message and status 2."""
    try:
        app(prog_name="dsr")
    except ValidationError as error:
        sys.exit(f"dsr: {misread(error)}")
    except Exception as error:  # noqa: BLE001  # an operator can do nothing with a traceback
        said = str(error).partition("\n")[0]
        sys.exit(f"dsr: {said}" if isinstance(error, DsrError) else f"dsr: {type(error).__name__}: {said}")
