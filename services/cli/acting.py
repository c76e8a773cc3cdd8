"""``dsr list``, ``dsr show`` and ``dsr act``: list and show anything of the API, and take its actions."""

import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import orjson
import typer

from services.cli.api import Api, ApiRefused, content_of, run
from services.cli.output import AsJson, cell, listed, plain, say, shown, tell
from shared.domain import reference

_PAGE = 1000
_PLACE = re.compile(r"[a-z]+(-[a-z]+)*(/[A-Za-z0-9][A-Za-z0-9:._-]*)*")
Thing = Annotated[str, typer.Argument(metavar="KIND/ID", help="A request by its id or reference; else as holds/ID.")]
Limit = Annotated[int, typer.Option(min=1, help="how many at most")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, however many there are.")]


class Action(NamedTuple):
    """One action of the registry: what it does, and the JSON Schema of its body."""

    name: str
    says: str
    schema: Mapping[str, Any] = {}

    @property
    def fields(self) -> Mapping[str, Mapping[str, Any]]:
        """The schemas of the fields by name, the required ones first."""
        known = self.schema.get("properties", {})
        return {name: known[name] for name in dict.fromkeys([*self.schema.get("required", ()), *known])}

    @property
    def usage(self) -> str:
        """Shows how it is typed, without its object."""
        needed = self.schema.get("required", ())
        return " ".join(f"{name}=…" if name in needed else f"[{name}=…]" for name in self.fields)

    def body(self, typed: Mapping[str, Any]) -> dict[str, Any] | None:
        """Reads texts as they are, lists of texts with commas, the rest as JSON; raises ``BadParameter``.

        The API checks the body. None: there are no fields.
        """
        if not self.fields and not typed:
            return None
        return {name: self._value(name, value) for name, value in typed.items()}

    def _value(self, name: str, text: Any) -> Any:
        schema = self.fields.get(name, {"type": "string"})
        [schema, *others] = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
        if "$ref" in schema and not others:
            schema = self.schema["$defs"][schema["$ref"].rpartition("/")[2]]
        if schema.get("type") == "string" or not isinstance(text, str):
            return text
        if schema.get("items", {}).get("type") == "string" and not text.startswith("["):
            return [each.strip() for each in text.split(",")]
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            raise typer.BadParameter(f"{name} is no text: write it as JSON ({schema.get('type', 'value')})") from None


_APPROVALS = {
    "approve": Action("approve", "Approve the proposal of another person: it is done."),
    "reject": Action("reject", "Reject a proposal, or withdraw your own: nothing is done."),
}


def actions(registry: Sequence[Mapping[str, Any]], kind: str, *, new: bool) -> dict[str, Action]:
    """The actions about one thing of a kind; ``new``: those that make one."""
    if kind == "approvals":
        return _APPROVALS
    return {
        each["name"]: Action(each["name"], " ".join((f"{each['title']}.", *each["effects"])), each["body_schema"])
        for each in registry
        if each["kind"] == kind and (each["name"] == "create") == new
    }


def request_id(text: str) -> str:
    """The id of a request, by its id or reference; raises ``BadParameter``."""
    with suppress(ValueError):
        return str(UUID(text))
    if known := reference.read(text):
        return known
    raise typer.BadParameter(f"write an id, or a reference as {reference.EXAMPLE}: compare each character")


def place(text: str) -> str:
    """The path of a thing, or of a kind; raises ``BadParameter``."""
    with suppress(typer.BadParameter):
        return f"/v1/requests/{request_id(text)}"
    if _PLACE.fullmatch(text):
        return f"/v1/{text}"
    raise typer.BadParameter("write KIND/ID, such as holds/ID, or the id or reference of a request")


async def rows(api: Api, path: str, most: int | None = None, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """The pages of a list, up to so many rows; says on standard error where there are more."""
    cursor, left = None, most or sys.maxsize
    while left:
        page = content_of(await api.get(path, **query, cursor=cursor, limit=min(left, _PAGE)))
        found, cursor = page["data"], page["next_cursor"]
        if found:
            yield found
        if cursor is None:
            return
        left -= len(found)
    typer.echo("there are more: --limit or --all", err=True)


async def print_rows(api: Api, path: str, most: int | None, *, as_json: bool, **query: Any) -> None:
    """Prints a list page by page."""
    async for page in rows(api, path, most, **query):
        if as_json:
            for each in page:
                tell(each)
        else:
            say(listed(page))


def list_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="such as holds, approvals or requests/ID/letters")],
    wanted: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="such as right=erasure")] = None,
    *,
    limit: Limit = 100,
    everything: Everything = False,
    as_json: AsJson,
) -> None:
    """Print a list of the API, such as incidents, holds, letters, mail, systems or approvals."""
    query, path = typed(wanted or ()), place(kind)
    run(lambda api: print_rows(api, path, None if everything else limit, as_json=as_json, **query))


def show(thing: Thing, *, as_json: AsJson) -> None:
    """Print one thing as the API shows it: an incident with its record, a hold, a proposal."""

    async def work(api: Api) -> None:
        found = content_of(await api.get(place(thing)))
        tell(found) if as_json else say(shown(found))

    run(work)


def act(
    name: Annotated[str | None, typer.Argument(help="Which action; without one, all that there are.")] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KIND/ID... [FIELD=VALUE]...",
            help="FIELD=@FILE: the value is read from that file; @FILE: all fields, as a JSON object; @-: standard"
            " input. A kind alone, such as holds, has one created.",
        ),
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before it is done.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and do nothing.")] = False,
    as_json: AsJson,
) -> None:
    """Take an action, or propose it where a second person must approve; show first what it will do.

    An action applies to its object as it was shown: if that has changed meanwhile, nothing is done. If one of several
    is refused, the others are still taken, and the status is 1.
    """
    things = [place(each) for each in words or () if "=" not in each and not each.startswith("@")]
    fields = typed([each for each in words or () if "=" in each or each.startswith("@")])

    async def work(api: Api) -> None:
        registry = [each async for page in rows(api, "/v1/actions") for each in page]
        if name is None:
            _print_registry(registry, as_json=as_json)
            return
        if not things:
            raise typer.BadParameter("name what it is about: a request, or KIND/ID")
        kinds = [each.removeprefix("/v1/").partition("/") for each in things]
        unknown = Action(name, "")  # the API names those that there are
        meant = [actions(registry, kind, new=not below).get(name, unknown) for kind, _, below in kinds]
        bodies = [each.body(fields) for each in meant]
        if not (yes or dry_run or sys.stdin.isatty()):
            raise typer.BadParameter("no terminal to ask on: --yes does it without, --dry-run shows what it would do")
        refused = False
        for thing, action, body in zip(things, meant, bodies, strict=True):
            try:
                await _one(api, thing, action, body, ask=dry_run or not yes, dry_run=dry_run, as_json=as_json)
            except ApiRefused as error:
                if len(things) == 1:
                    raise
                refused = True
                typer.echo(plain(f"dsr: {thing.removeprefix('/v1/')}: {error}"), err=True)
        if refused:
            raise typer.Exit(1)

    run(work)


def typed(words: Sequence[str]) -> dict[str, Any]:
    """The fields that were typed: FIELD=VALUE, FIELD=@FILE, or @FILE with a JSON object of fields.

    Raises:
        BadParameter: a word is none of these, or a field comes twice.
        OSError: a file cannot be read.
    """
    found = dict[str, Any]()
    for word in words:
        name, parted, value = word.partition("=")
        if not parted and not word.startswith("@"):
            raise typer.BadParameter("a field is written as FIELD=VALUE or FIELD=@FILE, several as @FILE")
        several = json_of(_content(word)) if word.startswith("@") else {name: _content(value)}
        if not isinstance(several, dict):
            raise typer.BadParameter("the fields must be one JSON object, by name")
        if twice := several.keys() & found.keys():
            raise typer.BadParameter(f"{', '.join(sorted(twice))} comes twice: type it once")
        found |= several
    return found


def agreed() -> bool:
    """Asks whether to do it, on standard error: a program may read the rest."""
    typer.echo("Do it? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _one(
    api: Api, thing: str, action: Action, body: Mapping[str, Any] | None, *, ask: bool, dry_run: bool, as_json: bool
) -> None:
    """Takes an action about one thing; ``ask``: once it was tried, shown and agreed to."""
    new, versioned = action.name == "create", action.name not in {"create", *_APPROVALS}
    path = thing if new else f"{thing}/{'actions/' if versioned else ''}{action.name}"
    read = await api.get(thing if ask else f"{thing}/actions") if versioned or (ask and not new) else None
    match = {"If-Match": read.headers["ETag"]} if read and versioned else {}
    if ask:
        await api.post(f"{path}?dry_run=true", body, match, repeatable=True)
        lines = shown(content_of(read)).splitlines() if read else []
        if dry_run and as_json:
            tell({"action": action.name, "sends": body, "shows": lines})
            return
        fields = (f"  {name}: {cell(value)}" for name, value in (body or {}).items())
        typer.echo(plain("\n".join([*lines, f"{action.name}: {action.says}", *fields])), err=as_json)
        if dry_run:
            return
        if not agreed():
            raise typer.Abort
    done = content_of(await api.post(path, body, match, repeatable=bool(match)))
    brief = " ".join(f"{key}={value}" for key, value in done.items() if key != "id" and isinstance(value, str | int))
    tell(done) if as_json else say(f"{action.name}: done, {brief}")


def _print_registry(registry: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Prints every action with its fields."""
    kinds = dict.fromkeys(each["kind"] for each in registry)
    for kind, new in [("approvals", False), *((kind, new) for kind in kinds for new in (True, False))]:
        where = kind if new else f"{kind}/ID"
        for each in actions(registry, kind, new=new).values():
            if as_json:
                tell({"about": where, "action": each.name, "does": each.says, "schema": each.schema})
            else:
                say(f"{each.name} {where} {each.usage}\n    {each.says}")


def _content(text: str) -> str:
    if not text.startswith("@"):
        return text
    return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")


def json_of(text: str | bytes) -> Any:
    """The JSON that was given; raises ``BadParameter``, which says where it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"this is not JSON (line {error.lineno}, column {error.colno})") from None
