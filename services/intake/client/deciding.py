"""``dsr request decide``: shows what a decision will do, asks, and has it done for the request as it was shown."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import orjson
import typer

from services.intake.client import reading, shapes
from services.intake.client.api import Api, ApiRefused, told_by, version_of
from services.intake.client.decisions import Decision, Typed, body, decisions, named
from services.intake.client.output import pairs, plain, say, tell, told

_TRIES = 3
"""How often somebody who is not asked decides anew for a request that changes in that moment."""
_LOOKS, _PAUSE = 60, 0.5
_PLANNED = frozenset({"begin", "verify", "retry", "confirmation"})
"""What has an erasure delete something: the systems are asked what that would be."""

Fields = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FIELD=VALUE]...",
        help="FIELD=@FILE: the value is read from that file; @FILE: all fields, as a JSON object; @-: standard input",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before it is done.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and do nothing.")]


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


class How(NamedTuple):
    """How a command decides: without asking, without doing, telling a program."""

    yes: bool
    dry_run: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Made:
    """A decision as it was typed, about what is at that path; ``sends``: the body."""

    decision: Decision
    sends: Mapping[str, Any] | None
    path: str


async def decide(api: Api, request_id: str, name: str | None, said: Typed, how: How) -> None:
    """Shows what can be decided, or what the decision will do, and does it once somebody has said so.

    Raises:
        ApiRefused: it cannot be decided, or the request has changed since it was shown.
        DecisionUnclear: what was typed is no decision, or lacks a field.
    """
    known = decisions(told_by(await api.get("/openapi.json"), shapes.Document))
    if name is None:
        list_of(known, as_json=how.as_json)
        return
    decision = named(known, name)
    made = Made(decision, body(decision, said), f"/v1/requests/{request_id}")
    if how.yes and not how.dry_run:
        done(made, await _at_once(api, made), how)
        return
    must_sit_there(how)
    read = await api.get(made.path)
    await rehearse(api, "POST", f"{made.path}/{made.decision.path}", made.sends, {"If-Match": version_of(read)})
    if put_before(made, await _shown(api, made, told_by(read, shapes.RequestShown)), how):
        done(made, await _send(api, made, version_of(read)), how)


async def rehearse(
    api: Api, method: str, path: str, sends: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
) -> None:
    """Has it checked as if it were done; nothing is. Raises ``ApiRefused`` where it would be refused."""
    await api.send(method, f"{path}?dry_run=true", sends, headers, repeatable=True)


def must_sit_there(how: How) -> None:
    """Raises ``BadParameter`` where somebody would be asked, and nobody is there."""
    if not (how.yes or how.dry_run or sys.stdin.isatty()):
        raise typer.BadParameter("nobody is there to be asked: --yes does it without, --dry-run shows what it would do")


def put_before(made: Made, shown: Sequence[str], how: How) -> bool:
    """Shows what would be done; whether it is to be done. Raises ``Abort`` where somebody says no."""
    if how.dry_run and how.as_json:
        tell({"decision": made.decision.name, "sends": made.sends, "shows": shown})
    else:
        typer.echo(plain("\n".join([*shown, *saying(made)])), err=how.as_json)
    if how.dry_run:
        return False
    if not agreed():
        raise typer.Abort
    return True


def saying(made: Made) -> list[str]:
    """The decision, and what is sent of it."""
    fields = [f"  {name}: {told(value)}" for name, value in (made.sends or {}).items()]
    return [f"{made.decision.name}: {made.decision.says}", *fields]


def done(made: Made, answer: Mapping[str, Any], how: How) -> None:
    """Says what has come of it."""
    known = {"request_id", "reference"}
    said = pairs({name: value for name, value in answer.items() if name not in known and value is not None})
    tell(answer) if how.as_json else say(f"{made.decision.name}: done, {said}")


async def _at_once(api: Api, made: Made) -> dict[str, Any]:
    """Decides for the request as it stands."""
    tries = 0
    while True:
        tries += 1
        try:
            return await _send(api, made, version_of(await api.get(made.path)))
        except ApiRefused as error:
            if error.status != HTTPStatus.PRECONDITION_FAILED or tries == _TRIES:
                raise


def agreed() -> bool:
    """Asks whoever sits there, beside what a program reads."""
    typer.echo("Do it? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _send(api: Api, made: Made, version: str) -> dict[str, Any]:
    path = f"{made.path}/{made.decision.path}"
    return told_by(await api.post(path, made.sends, {"If-Match": version}, repeatable=True))


async def _shown(api: Api, made: Made, view: Mapping[str, Any]) -> list[str]:
    """The request, and what the decision is about: a proposal, tasks that are not done, the plan of an erasure."""
    lines = [reading.heading(view), *await _proposed(api, made)]
    if tasks := reading.tasks(reading.undone(view)):
        lines += ["not done:", tasks]
    if view["right"] == "erasure" and made.decision.name in _PLANNED:
        lines += ["as the systems stand now, they say that it would:", await _plan(api, made.path)]
    return lines


async def _proposed(api: Api, made: Made) -> list[str]:
    """What somebody has proposed that this would approve."""
    proposed, is_approval, _ = made.decision.path.partition("/approval")
    if not is_approval:
        return []
    proposal = told_by(await api.get(f"{made.path}/{proposed}", **(made.sends or {})))
    return ["proposed:", *(f"  {name}: {told(value)}" for name, value in proposal.items() if value is not None)]


async def _plan(api: Api, path: str) -> str:
    """What the systems say of an erasure, once they have."""
    try:
        for _ in range(_LOOKS):
            plan = told_by(await api.get(f"{path}/plan"), shapes.Plan)
            if plan["state"] == "made":
                return reading.planned(plan)
            await asyncio.sleep(_PAUSE)  # the systems are asked meanwhile, and nobody tells when they have answered
    except ApiRefused as error:
        return f"  nothing that can be said: {error}"
    return "  nothing yet: they have not all answered"


def list_of(known: Mapping[str, Decision], *, as_json: bool) -> None:
    """Prints what can be decided, with its fields."""
    for each in known.values() if as_json else ():
        tell({"decision": each.name, "does": each.says, "fields": dict(each.fields), "needs": list(each.needed)})
    if not as_json:
        say("\n".join(f"{each.usage}\n    {each.says}" for each in known.values()))


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
