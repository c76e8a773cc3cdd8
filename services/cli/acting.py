"""``dsr list``, ``dsr show`` and ``dsr act``: lists, shows and decides whatever the API knows, by its own document."""

import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import httpx
import orjson
import typer

from services.cli.api import Api, ApiRefused, run, strange, told_by, version_of
from services.cli.operations import Operation, Typed, Unclear, body, kinds, lists, named, operations
from services.cli.output import AsJson, cell, listed, pairs, plain, say, shown, tell
from shared.domain import reference

_PAGE = 1000
_KNOWN = frozenset({"request_id", "reference"})
_TRIES = 3
"""How often somebody who is not asked decides anew for a request that changes in that moment."""
_PLACE = re.compile(r"[a-z]+(-[a-z]+)*(/[A-Za-z0-9][A-Za-z0-9:._-]*)*")
Thing = Annotated[str, typer.Argument(metavar="KIND/ID", help="A request by its id or reference; else as holds/ID.")]
Limit = Annotated[int, typer.Option(min=1, help="how many at most")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, however many there are.")]


def place(text: str) -> str:
    """The path of an object, or of a kind; raises ``BadParameter``."""
    if known := _request(text):
        return f"/v1/requests/{known}"
    if _PLACE.fullmatch(text):
        return f"/v1/{text}"
    raise typer.BadParameter("write KIND/ID, such as holds/ID, or the id or reference of a request")


def _request(text: str) -> str | None:
    with suppress(ValueError):
        return str(UUID(text))
    return reference.read(text)


def request_id(text: str) -> str:
    """A request's id, or its reference as it is spelled; raises ``BadParameter``."""
    if known := _request(text):
        return known
    raise typer.BadParameter(f"write an id, or a reference as {reference.EXAMPLE}: compare each character")


async def rows(api: Api, path: str, most: int | None = None, **query: Any) -> AsyncIterator[list[dict[str, Any]]]:
    """The pages of a list, up to so many rows; says on standard error where there are more."""
    cursor, left = None, most or sys.maxsize
    while left:
        page = told_by(await api.get(path, **query, cursor=cursor, limit=min(left, _PAGE)))
        found, cursor = page["data"], page["next_cursor"]
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise strange("its data are no list of objects")
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
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="such as holds or requests/ID/letters; without it, all kinds")
    ] = None,
    wanted: Annotated[list[str] | None, typer.Argument(metavar="[NAME=VALUE]...", help="such as state=reply")] = None,
    *,
    limit: Limit = 100,
    everything: Everything = False,
    as_json: AsJson,
) -> None:
    """Print what the API lists, such as incidents, holds, letters, mail, systems or approvals."""
    query = typed(wanted or ()).texts

    async def work(api: Api) -> None:
        if kind is None:
            known = lists(told_by(await api.get("/openapi.json")))
            tell(known) if as_json else say("\n".join(known))
            return
        try:
            await print_rows(api, place(kind), None if everything else limit, as_json=as_json, **query)
        except ApiRefused as error:
            known = lists(told_by(await api.get("/openapi.json"))) if error.status == HTTPStatus.NOT_FOUND else []
            if known and kind.rpartition("/")[2] not in {each.rpartition("/")[2] for each in known}:
                raise Unclear(f"there is no list {kind}: there are {', '.join(known)}") from None
            raise

    run(work)


def show(thing: Thing, *, as_json: AsJson) -> None:
    """Print one thing as the API shows it: an incident with its record, a hold, what was previewed."""

    async def work(api: Api) -> None:
        found = told_by(await api.get(place(thing)))
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
    """Decide about something, or propose or approve it where that takes two people; shows first what it will do.

    A request is decided about as it was shown: where it has changed meanwhile, nothing is done. Of several objects,
    what is refused of one leaves the others alone; then the status is 1.
    """
    how = _How(yes, dry_run, as_json)
    things = [place(each) for each in words or () if "=" not in each and not each.startswith("@")]
    fields = typed([each for each in words or () if "=" in each or each.startswith("@")])

    async def work(api: Api) -> None:
        document = told_by(await api.get("/openapi.json"))
        if name is None:
            _print_known(document, things, as_json=as_json)
            return
        if not things:
            raise typer.BadParameter("name what it is about: a request, or KIND/ID")
        meant = [(each, named(_known(document, each), name)) for each in things]
        deeds = [_Deed(each, operation, body(operation, fields)) for each, operation in meant]
        if not (yes or dry_run or sys.stdin.isatty()):
            raise typer.BadParameter("no terminal to ask on: --yes does it without, --dry-run shows what it would do")
        refused = False
        for each, deed in zip(things, deeds, strict=True):
            try:
                await _one(api, deed, how)
            except ApiRefused as error:
                if len(things) == 1:
                    raise
                refused = True
                typer.echo(plain(f"dsr: {each.removeprefix('/v1/')}: {error}"), err=True)
        if refused:
            raise typer.Exit(1)

    run(work)


def typed(words: Sequence[str]) -> Typed:
    """What was typed: FIELD=VALUE, FIELD=@FILE, or @FILE with a JSON object of fields.

    Raises:
        BadParameter: a word is none of these, or a field comes twice.
        OSError: a file cannot be read.
    """
    texts, given = dict[str, str](), dict[str, Any]()
    for word in words:
        name, parted, value = word.partition("=")
        several = _object(_value(word)) if word.startswith("@") else {}
        if not parted and not several:
            raise typer.BadParameter("a field is written as FIELD=VALUE or FIELD=@FILE, several as @FILE")
        one = {} if several else {name: _value(value)}
        if twice := {*one, *several} & {*texts, *given}:
            raise typer.BadParameter(f"{', '.join(sorted(twice))} comes twice: type it once")
        texts |= one
        given |= several
    return Typed(texts, given)


def agreed() -> bool:
    """Asks whoever sits there, beside what a program reads."""
    typer.echo("Do it? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


class _How(NamedTuple):
    """How it is done: without asking, without doing, telling a program."""

    yes: bool
    dry_run: bool
    as_json: bool


class _Deed(NamedTuple):
    """One action on one object; ``sends``: its body."""

    thing: str
    operation: Operation
    sends: Mapping[str, Any] | None

    @property
    def path(self) -> str:
        return f"{self.thing}/{self.operation.path}".rstrip("/")

    @property
    def versioned(self) -> bool:
        return "If-Match" in self.operation.takes


async def _one(api: Api, deed: _Deed, how: _How) -> None:
    """Does it with one object, once it was shown and agreed to."""
    if how.yes and not how.dry_run:
        answer = await (_at_once(api, deed) if deed.versioned else api.post(deed.path, deed.sends))
    else:
        read = await api.get(deed.thing) if deed.operation.readable else None
        match = await _match(api, deed, read) if deed.versioned else {}
        if "dry_run" in deed.operation.takes:
            await api.post(f"{deed.path}?dry_run=true", deed.sends, match, repeatable=True)
        lines = [shown(told_by(read))] if read else []
        if how.dry_run and how.as_json:
            tell({"action": deed.operation.name, "sends": deed.sends, "shows": "\n".join(lines).splitlines()})
        else:
            fields = (f"  {name}: {cell(value)}" for name, value in (deed.sends or {}).items())
            said = "\n".join([*lines, f"{deed.operation.name}: {deed.operation.says}", *fields])
            typer.echo(plain(said), err=how.as_json)
        if how.dry_run:
            return
        if not agreed():
            raise typer.Abort
        answer = await api.post(deed.path, deed.sends, match, repeatable=bool(match))
    done = told_by(answer)
    brief = {name: value for name, value in done.items() if name not in _KNOWN and isinstance(value, str | int)}
    tell(done) if how.as_json else say(f"{deed.operation.name}: done, {pairs(brief)}")


async def _match(api: Api, deed: _Deed, read: httpx.Response | None = None) -> dict[str, str]:
    """The version of the thing that is acted on: the one that was read, or the one that stands."""
    if read is None or "ETag" not in read.headers:
        read = await api.get(f"{deed.thing}/actions")
    return {"If-Match": version_of(read)}


async def _at_once(api: Api, deed: _Deed) -> httpx.Response:
    """Decides for the request as it stands."""
    tries = 0
    while True:
        tries += 1
        try:
            return await api.post(deed.path, deed.sends, await _match(api, deed), repeatable=True)
        except ApiRefused as error:
            if error.status != HTTPStatus.PRECONDITION_FAILED or tries == _TRIES:
                raise


def _known(document: Mapping[str, Any], thing: str) -> dict[str, Operation]:
    kind, _, below = thing.removeprefix("/v1/").partition("/")
    return operations(document, kind, new=not below)


def _print_known(document: Mapping[str, Any], things: Sequence[str], *, as_json: bool) -> None:
    """Prints what can be done, with its fields: with those objects, or with any."""
    known = [(each.removeprefix("/v1/"), _known(document, each).values()) for each in things] or [
        (where, operations(document, kind, new=where == kind).values())
        for kind in kinds(document)
        for where in (kind, f"{kind}/ID")
    ]
    for where, found in known:
        for each in found:
            first, _, rest = each.usage.partition(" ")
            if as_json:
                fields = {"fields": dict(each.fields), "needs": [*each.needed]}
                tell({"about": where, "action": each.name, "does": each.says, **fields})
            else:
                say(f"{first} {where} {rest}\n    {each.says}")


def _value(text: str) -> str:
    if not text.startswith("@"):
        return text
    return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")


def _object(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise typer.BadParameter(f"the fields are not JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(found, dict):
        raise typer.BadParameter("the fields must be one JSON object, by name")
    return found
