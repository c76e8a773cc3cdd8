"""Kinds of things about which there are actions, and what can be decided about one now."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from pydantic import BaseModel, Field, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions.action import Action, Held, Options, Pairs, settled
from services.intake.actions.deciding import Deciding
from services.intake.core.errors import NotFound
from services.intake.request.aggregate import Transition
from shared.messaging.unit_of_work import UnitOfWork


class Lock(Protocol):
    """Finds a thing, and locks it for a caller who may act about it; without ``acting`` it is only read."""

    async def __call__(self, means: Deciding, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool) -> Held:
        """The thing; raises ``NotFound`` or ``Forbidden``."""
        ...


async def none(_: Held) -> Sequence[UUID]:
    """Returns no requests: most things do not become any."""
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing about which there are actions.

    ``take``: puts into effect what an action returns; returns the thing as it is then. ``stands``: its state in a word.
    ``recorded``: under which id the evidence has it. ``titled``: how a page names it. ``due``: by when it must be done.
    ``became``: the requests that it has become. ``channels``: a channel may act, too.
    """

    name: str
    actions: Mapping[str, Action]
    lock: Lock
    take: Callable[[Held, Transition | None], Awaitable[Held]]
    stands: Callable[[Held], str]
    recorded: Callable[[str], UUID] = UUID
    titled: Callable[[Held], str] = lambda held: held.key
    due: Callable[[Held], date | datetime | None] = lambda _: None
    became: Callable[[Held], Awaitable[Sequence[UUID]]] = none
    channels: bool = False

    def action(self, name: str, caller: Caller) -> Action:
        """The action of that name; raises ``NotFound``, ``Forbidden``."""
        found = self.actions.get(name)
        if found is None or not found.offered:
            known = ", ".join(sorted(each.name for each in self.actions.values() if each.offered))
            raise NotFound(f"there is no such action; there are {known}")
        if not found.channel:
            caller.must_be("privacy")
        return found


class Possible(BaseModel):
    """An action that is possible now."""

    name: str
    title: str
    effects: list[str] = Field(description="what it will do")
    final: bool = Field(description="it cannot be taken back")
    needs: str = Field(description="of people who sign in, which power they need")
    channel: bool = Field(description="the channel that submitted a request may act too; else the privacy team alone")
    approval: str | None = Field(description="who must approve it; null: one person is enough, or the body decides")
    body_schema: dict[str, JsonValue] = Field(description="JSON Schema of its body, with the values to choose from")


class Offered(Possible):
    """An action, and whether it can be taken as things stand."""

    possible: bool


async def possible(means: Deciding, kind: Kind, key: str, caller: Caller) -> tuple[str, list[Possible]]:
    """Returns the version of a thing, and what the caller can decide about it now."""
    async with means.unit_of_work.begin() as tx:
        held = await kind.lock(means, tx, key, caller, acting=False)
        offered = [each for each in kind.actions.values() if each.offered]
        mine = [each for each in offered if each.channel or caller.role == "privacy"]
        return held.version, [await described(held, each) for each in mine if await settled(each.may(held))]


async def offer(
    means: Deciding, kind: Kind, key: str, action: Action, caller: Caller, *, reading: bool
) -> tuple[Held, Offered, Pairs]:
    """Returns a thing, an action about it, and, if it is ``reading``, what to read first."""
    async with means.unit_of_work.begin() as tx:
        held = await kind.lock(means, tx, key, caller, acting=False)
        possible = await settled(action.may(held))
        offered = Offered(**dict(await described(held, action)), possible=possible)
        return held, offered, await action.reads(held) if reading and possible else ()


async def described(held: Held, action: Action) -> Possible:
    """Returns an action as it is offered: its schema names the values that can be chosen."""
    schema: dict[str, Any] = action.body.model_json_schema()
    for name, offer in action.choices.items():
        options: Options = await settled(offer(held))
        field = schema["properties"]
        *outer, last = name.split(".")
        for each in outer:
            field = _resolved(schema, field[each])["properties"]
        kept = {key: field[last][key] for key in ("title", "description") if key in field[last]}
        chosen = {"oneOf": [{"const": value, "title": words} for value, words in options]}
        is_list = field[last].get("type") == "array"
        field[last] = {**kept, **({"type": "array", "items": chosen} if is_list else chosen)}
    return Possible(
        name=action.name,
        title=action.title,
        effects=action.does(held),
        final=action.final,
        needs=action.power,
        channel=action.channel,
        approval=f"a second person with the power {action.approving}" if _always(held, action) else None,
        body_schema=schema,
    )


def _resolved(schema: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [each for each in said.get("anyOf", ()) if each.get("type") != "null"]
    found = kinds[0] if kinds else said
    return dict(schema["$defs"][found["$ref"].rpartition("/")[2]]) if "$ref" in found else dict(found)


def _always(held: Held, action: Action) -> bool:
    """Whether a second person is needed whatever the body says."""
    return bool(action.second(held, action.body.model_construct()))
