"""The page of all commands, from the commands themselves, and of all actions, from their registry."""

import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer

from services.cli import main
from services.cli.acting import actions
from services.intake.api.actions import registered

_ROOT = Path(__file__).parents[1]
_HEAD = (
    "Made by `make docs` from the commands, each of which takes `--help`; [command.md](command.md) says how"
    " to use those of the privacy team."
)
_WIDTH = 200


def page() -> str:
    """The reference of the command, in Markdown."""
    lines = ["# Every command", "", _HEAD, ""]
    root: Any = typer.main.get_command(main.app)
    for name in root.list_commands(None):
        lines += _group(name, root.get_command(None, name))
    lines += [
        "## Actions",
        "",
        "`dsr act NAME KIND/ID...`; of a request its id or reference is enough. `dsr act --json` explains each field.",
        "",
    ]
    lines += ["| action | about | does | fields |", "|---|---|---|---|"]
    known = [each.model_dump() for each, _ in registered()]
    for kind in ("approvals", *sorted({each["kind"] for each in known})):
        for about, new in ((kind, True), (f"{kind}/ID", False)) if kind != "approvals" else ((f"{kind}/ID", False),):
            for _, each in sorted(actions(known, kind, new=new).items()):
                fields = each.usage.replace("=…", "")
                shown = f"`{fields}`" if fields else "–"
                lines.append(f"| `{each.name}` | `{about}` | {_cell(_brief(each.says))} | {shown} |")
    return "\n".join(lines).rstrip() + "\n"


def _group(name: str, command: Any) -> Iterator[str]:
    """A command, or a group with each of its own."""
    if not hasattr(command, "commands"):
        yield from _command(name, command)
        return
    yield from (f"## {name}", "", _prose(command.help), "")
    for sub, each in command.commands.items():
        yield from _command(f"{name} {sub}", each)


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if not each.opts[0].startswith("-")]
    options = [each for each in command.params if each.opts[0].startswith("-")]
    words = [name, *map(_argument, arguments), *map(_option, (each for each in options if each.required))]
    yield from (f"### dsr {name}", "", f"`dsr {' '.join(words)}`", "", _prose(command.help), "")
    if command.params:
        yield from ("| | | if left out |", "|---|---|---|")
        for each in command.params:
            shown = _argument(each) if each in arguments else _option(each)
            yield f"| `{_cell(shown)}` | {_cell(_said(each))} | {_default(each)} |"
        yield ""


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required or name.startswith("[") else f"[{name}]"


def _option(option: Any) -> str:
    flag = getattr(option, "is_flag", False)
    return option.opts[0] if flag else f"{option.opts[0]} {option.metavar or option.name.upper()}"


def _said(parameter: Any) -> str:
    """Describes a parameter and its allowed words."""
    words = " | ".join(_words(parameter.type_descriptor.annotation))
    return ": ".join(filter(None, (words, parameter.help or "")))


def _words(kind: Any) -> Iterator[str]:
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    elif isinstance(kind, type) and issubclass(kind, Enum):
        yield from (str(each.value) for each in kind)
    else:
        for each in get_args(kind):
            yield from _words(each)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "**needed**"
    default = parameter.default
    if callable(default):
        return str(parameter.show_default)
    if isinstance(default, Path) and default.is_relative_to(_ROOT):
        default = default.relative_to(_ROOT)  # else the page would say where it was made
    return "" if default in (None, False, "", ()) else f"`{default}`"


def _prose(text: str | None) -> str:
    return "\n\n".join(" ".join(each.split()) for each in inspect.cleandoc(text or "").split("\n\n"))


def _brief(says: str) -> str:
    """The first sentences, up to the width of a cell; `dsr act` prints all."""
    brief, *more = re.split(r"(?<=\.) ", says)
    for sentence in more:
        if len(f"{brief} {sentence}") > _WIDTH:
            break
        brief = f"{brief} {sentence}"
    return brief


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
