"""The command ``dsr``: every command of the product, each group imported only when it is called or explained."""

import signal
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from services import run as run_service
from shared.domain.errors import DsrError
from shared.domain.topics import ServiceName

COMMANDS: Mapping[str, str] = {
    "health": "shared.app.health_check:health",
    "migrate": "shared.storage.commands:migrate",
    "key": "shared.storage.commands:key",
    "api-key": "services.commands.intake:api_key",
    "downstreams": "services.commands.systems:downstreams",
    "dataset": "shared.systems.sql.drafting:dataset",
    "conformance": "services.commands.conformance:conformance",
    "assignments": "services.commands.assignments:assignments",
    "evidence": "shared.storage.commands:evidence",
    "certificate": "shared.storage.commands:certificate",
    "groups": "shared.messaging.commands:groups",
    "parked": "shared.messaging.commands:parked",
    "consumers": "shared.messaging.commands:consumers",
    "dead-letters": "shared.messaging.commands:dead_letters",
    "request": "services.cli.requests:request",
    "list": "services.cli.acting:list_",
    "show": "services.cli.acting:show",
    "act": "services.cli.acting:act",
    "letters": "services.letters:letters",
    "suppression": "services.cli.files:suppression",
    "redate": "services.commands.intake:redate",
    "reconcile": "services.commands.restored:reconcile",
    "policy": "services.commands.policy:policy",
}
"""Where each command stands: a function, or a ``Typer`` with commands of its own."""


LINES: Mapping[str, str] = {
    "health": "Ask the service at DSR_HTTP_PORT of this machine whether its loops run; status 1 if not.",
    "migrate": "Create the schema of this version in an empty database and print the files applied.",
    "key": "Keys of the platform: one file, in production a mounted secret.",
    "api-key": "Who may call the API.",
    "downstreams": "The file that declares the systems which hold personal data.",
    "dataset": "The file that says what each table of a SQL store holds about people.",
    "conformance": "Try on a live system everything that it is declared to do, "
    "on invented people that it is filled with.",
    "assignments": "The register of assignments: whose a number was, and when.",
    "evidence": "The log of what was done, a chain of hashes for each service.",
    "certificate": "The signed certificate of a closed request.",
    "groups": "How far the services have read, and letting them read again.",
    "parked": "What the broker refused for good, and what waits behind it.",
    "consumers": "Topics that a service has paused, because it had to set too much of them aside.",
    "dead-letters": "What a service could not handle and has set aside.",
    "request": "Requests of data subjects, through the API (DSR_API_URL, DSR_API_KEY).",
    "list": "Print a list of the API, such as incidents, holds, letters, mail, systems or approvals.",
    "show": "Print one thing as the API shows it: an incident with its record, a hold, a proposal.",
    "act": "Take an action, or propose it where a second person must approve; show first what it will do.",
    "letters": "Letters to data subjects.",
    "suppression": "The list of those who get no marketing, through the API (DSR_API_URL, DSR_API_KEY).",
    "reconcile": "List the erasures since a backup whose people are in the restored store; changes nothing.",
    "redate": "Recalculate the dates of every open request after a change of the policy or of holidays.",
    "policy": "What is held about people, why and how long: policy that counsel signs.",
}
"""The line of each command in the list of all: the first sentence of its own help, which is not imported for it."""


class _Imported(TyperGroup):
    """A group whose commands are imported on demand: a service must not load what it does not run."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*dict.fromkeys((*super().list_commands(ctx), *COMMANDS))]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.commands.update({name: TyperCommand(name, help=line) for name, line in LINES.items()})
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        _abort_by_interrupt()
        single = typer.Typer(add_completion=False)
        if not isinstance(found, typer.Typer):
            single.command()(found)
        command: Any = get_group(found) if isinstance(found, typer.Typer) else get_command(single)
        command.name = cmd_name
        return command


_ADVICE: Mapping[str, str] = {
    "FileExistsError": "name another file",
    "FileNotFoundError": "check the path",
    "IsADirectoryError": "name a file in it",
    "OSError": "let this user read and write it",
    "UnicodeDecodeError": "save what is read as UTF-8",
    "gaierror": "correct the host in DSR_POSTGRES_DSN",
    "ConnectionError": "start the database, or correct DSR_POSTGRES_DSN",
    "TimeoutError": "start the database, or correct DSR_POSTGRES_DSN",
    "UndefinedTableError": "run `dsr migrate`",
    "PostgresError": "correct DSR_POSTGRES_DSN, or let its user do so",
    "ClientConfigurationError": "correct DSR_POSTGRES_DSN",
    "KafkaError": "start the broker, or correct DSR_KAFKA_BOOTSTRAP",
}
"""Advice for errors of libraries, by the name of the class or of a base: most are not loaded here."""

_STATUS: Mapping[str, int] = {"StillOpen": 3, "ApiAway": 4}
"""Exit codes other than 1 (refused) and 2 (wrong usage)."""
_ABORTED = 130

app = typer.Typer(cls=_Imported, pretty_exceptions_enable=False)


@app.callback()
def _dsr() -> None:
    """Run and operate the data subject request platform; settings come from the environment (DSR_…)."""


@app.command()
def run(service: Annotated[ServiceName, typer.Argument()]) -> None:
    """Run a service until SIGTERM."""
    _abort_by_interrupt()
    run_service(service)


def main() -> None:
    """Runs the command line; whatever fails is one line that says what to do, with a status of ``docs/command.md``."""
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], prog_name="dsr", standalone_mode=False))
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "dsr"
        typer.echo(f"dsr: {_one_line(error.format_message())} (see `{command} --help`)", err=True)
        sys.exit(error.exit_code)
    except typer.Abort:  # the answer was no, or Ctrl-C
        sys.exit(_ABORTED)
    except Exception as error:  # noqa: BLE001  # an operator can do nothing with a traceback
        if _is_interrupt(error):
            sys.exit(_ABORTED)
        said = f"dsr: {explain(error)}"
        if (status := _STATUS.get(type(error).__name__)) is None:
            sys.exit(said)
        typer.echo(said, err=True)
        sys.exit(status)


def _abort_by_interrupt() -> None:
    """From here on Ctrl-C lets what is under way come to an end (``typer.Abort``); before, nothing was."""
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if threading.current_thread() is threading.main_thread() and not ignored:  # no other thread may
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C came where Python makes another error of it, as while a class is made."""
    return error is not None and (isinstance(error, KeyboardInterrupt) or _is_interrupt(error.__cause__))


def explain(error: Exception) -> str:
    """Explains an error and what to do about it, in one line."""
    match error:
        case DsrError():
            return _one_line(str(error))
        case OSError(filename=str(path)):
            said = f"{path}: {error.strerror}"
        case _:
            said = f"{type(error).__name__}: {_one_line(str(error))}"
    advice = [_ADVICE[each.__name__] for each in type(error).__mro__ if each.__name__ in _ADVICE]
    return f"{said}: {advice[0]}" if advice else said


def _one_line(text: str) -> str:
    return " ".join(text.split())
