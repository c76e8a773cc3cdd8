"""``dsr request decide``: shows what a decision will do, asks, and has it done for the request as it was shown."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from services.intake.client import reading
from services.intake.client.api import Api, ApiRefused
from services.intake.client.decisions import Decision, body, decisions, named
from services.intake.client.output import pairs, plain, say, tell, told

_TRIES = 3
"""How often somebody who is not asked decides anew for a request that changes in that moment."""
_LOOKS, _PAUSE = 60, 0.5
_PLANNED = frozenset({"begin", "at-once", "retry", "confirmation"})
"""What has an erasure delete something: the systems are asked what that would be."""


def typed(words: Sequence[str]) -> dict[str, str]:
    """Fields by name, of FIELD=VALUE; a value ``@FILE`` is read from there; raises ``BadParameter``, ``OSError``."""
    found: dict[str, str] = {}
    for word in words:
        name, parted, value = word.partition("=")
        if not parted:
            raise typer.BadParameter("a field is written as FIELD=VALUE, or FIELD=@FILE")
        if name in found:
            raise typer.BadParameter(f"{name} comes twice: type it once")
        found[name] = _value(value)
    return found


@dataclass(frozen=True, slots=True)
class Made:
    """A decision as it was typed, about the request at that path; ``sends``: the body."""

    decision: Decision
    fields: Mapping[str, str]
    sends: Mapping[str, Any] | None
    path: str


async def decide(
    api: Api,
    request_id: UUID,
    name: str | None,
    fields: Mapping[str, str],
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Shows what can be decided, or what the decision will do, and does it once somebody has said so.

    Raises:
        ApiRefused: it cannot be decided, or the request has changed since it was shown.
        DecisionUnclear: what was typed is no decision, or lacks a field.
    """
    known = decisions((await api.get("/openapi.json")).json())
    if name is None:
        _list(known, as_json=as_json)
        return
    decision = named(known, name)
    made = Made(decision, fields, body(decision, fields), f"/v1/requests/{request_id}")
    if dry_run:
        shown = await _shown(api, made, (await api.get(made.path)).json())
        tell({"decision": name, "sends": made.sends, "shows": shown}) if as_json else say("\n".join(shown))
        return
    done = await (_at_once(api, made) if yes else _asked(api, made, as_json=as_json))
    said = pairs({field: value for field, value in done.items() if field != "request_id"})
    tell(done) if as_json else say(f"{name}: done, {said}")


async def _at_once(api: Api, made: Made) -> dict[str, Any]:
    """Decides for the request as it stands."""
    tries = 0
    while True:
        tries += 1
        try:
            return await _send(api, made, (await api.get(made.path)).headers["ETag"])
        except ApiRefused as error:
            if error.status != HTTPStatus.PRECONDITION_FAILED or tries == _TRIES:
                raise


async def _asked(api: Api, made: Made, *, as_json: bool) -> dict[str, Any]:
    """Decides for the request as it was shown, once somebody agrees.

    Raises:
        BadParameter: nobody is there.
        Abort: they do not.
    """
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: --yes does it without, --dry-run shows what it would do")
    read = await api.get(made.path)
    typer.echo(plain("\n".join(await _shown(api, made, read.json()))), err=as_json)
    if not agreed():
        raise typer.Abort
    return await _send(api, made, read.headers["ETag"])


def agreed() -> bool:
    """Asks whoever sits there, beside what a program reads."""
    typer.echo("Do it? [y/N] ", err=True, nl=False)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


async def _send(api: Api, made: Made, version: str) -> dict[str, Any]:
    path = f"{made.path}/{made.decision.path}"
    return dict((await api.post(path, made.sends, {"If-Match": version}, repeatable=True)).json())


async def _shown(api: Api, made: Made, view: Mapping[str, Any]) -> list[str]:
    """The request, what the decision does and says, and what it is about: a proposal, tasks, the plan of an erasure."""
    lines = [reading.heading(view), f"{made.decision.name}: {made.decision.says}"]
    lines += [f"  {field}: {text}" for field, text in made.fields.items()]
    lines += await _proposed(api, made)
    if tasks := reading.tasks(reading.undone(view)):
        lines += ["not done:", tasks]
    if view["right"] == "erasure" and made.decision.name in _PLANNED:
        lines += ["as the systems stand now, they say that it would:", await _plan(api, made.path)]
    return lines


async def _proposed(api: Api, made: Made) -> list[str]:
    """What somebody has proposed that this would approve."""
    if made.decision.path == "decision/approval":
        proposal = (await api.get(f"{made.path}/decision")).json()
        return ["proposed:", *(f"  {name}: {told(value)}" for name, value in proposal.items() if value is not None)]
    if not made.decision.path.endswith("/approval"):
        return []
    entries = (await api.get(f"{made.path}/timeline")).json()["entries"]
    proposals = [each for each in entries if each["action"].endswith("proposed")]
    return [f"proposed: {each['at'][:19]}Z {each['action']} {pairs(each['detail'])}" for each in proposals[-1:]]


async def _plan(api: Api, path: str) -> str:
    """What the systems say of an erasure, once they have."""
    try:
        for _ in range(_LOOKS):
            plan = (await api.get(f"{path}/plan")).json()
            if plan["state"] == "made":
                return reading.planned(plan)
            await asyncio.sleep(_PAUSE)  # the systems are asked meanwhile, and nobody tells when they have answered
    except ApiRefused as error:
        return f"  nothing that can be said: {error}"
    return "  nothing yet: they have not all answered"


def _list(known: Mapping[str, Decision], *, as_json: bool) -> None:
    for each in known.values() if as_json else ():
        tell({"decision": each.name, "does": each.says, "fields": dict(each.fields), "needs": list(each.needed)})
    if not as_json:
        say("\n".join(f"{each.usage}\n    {each.says}" for each in known.values()))


def _value(text: str) -> str:
    if not text.startswith("@"):
        return text
    return sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
