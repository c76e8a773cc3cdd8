"""What can be decided about a thing now: each action with its effects, its approver and the schema of its body."""

from collections.abc import Awaitable, Mapping
from inspect import isawaitable
from typing import Any, TypeVar

from pydantic import BaseModel, Field, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions.action import Action, Held, Options, Pairs
from services.intake.actions.deciding import Deciding
from services.intake.actions.kind import Kind

T = TypeVar("T")


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
    """The version of something, and what the caller can decide about it as it stands."""
    async with means.unit_of_work.begin() as tx:
        held = await kind.lock(means, tx, key, caller, acting=False)
        offered = [each for each in kind.actions.values() if each.offered]
        mine = [each for each in offered if each.channel or caller.role == "privacy"]
        return held.version, [await described(held, each) for each in mine if await settled(each.may(held))]


async def offer(
    means: Deciding, kind: Kind, key: str, action: Action, caller: Caller, *, reading: bool
) -> tuple[Held, Offered, Pairs]:
    """A thing, an action about it, and, where it is ``reading``, what is read first."""
    async with means.unit_of_work.begin() as tx:
        held = await kind.lock(means, tx, key, caller, acting=False)
        possible = await settled(action.may(held))
        offered = Offered(**dict(await described(held, action)), possible=possible)
        return held, offered, await action.reads(held) if reading and possible else ()


async def settled(value: T | Awaitable[T]) -> T:
    """The value, once it is there."""
    return await value if isawaitable(value) else value


async def described(held: Held, action: Action) -> Possible:
    """An action as it is offered: its schema names the values that can be chosen."""
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
        effects=[*action.effects(held)],
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
