"""Kinds of resources that have actions, and the actions that are possible now."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Protocol
from uuid import UUID

import orjson
from pydantic import BaseModel, Field, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions.action import Action, ActionContext, Options, Pairs, await_if_needed
from services.intake.actions.use_cases import UseCases
from services.intake.core.errors import NotFound
from services.intake.request.aggregate import Transition
from shared.messaging.unit_of_work import UnitOfWork


class Lock(Protocol):
    """Finds a thing, and locks it for a caller who may act about it; without ``acting`` it is only read."""

    async def __call__(
        self, use_cases: UseCases, tx: UnitOfWork, key: str, caller: Caller, *, acting: bool
    ) -> ActionContext:
        """The thing; raises ``NotFound`` or ``Forbidden``."""
        ...


async def no_requests(_: ActionContext) -> Sequence[UUID]:
    """Returns no requests: most things do not become any."""
    return ()


@dataclass(frozen=True, slots=True)
class ResourceKind:
    """A kind of resource that has actions.

    ``save``: applies the transition of an action; returns the context afterwards. ``state_of``: the state in a word.
    ``evidence_id``: the id in the evidence. ``title_of``: the title on a page. ``due``: by when it must be done.
    ``resulting_requests``: the requests that it became. ``channels``: a channel may act, too.
    """

    name: str
    actions: Mapping[str, Action]
    lock: Lock
    save: Callable[[ActionContext, Transition | None], Awaitable[ActionContext]]
    state_of: Callable[[ActionContext], str]
    evidence_id: Callable[[str], UUID] = UUID
    title_of: Callable[[ActionContext], str] = lambda context: context.key
    due: Callable[[ActionContext], date | datetime | None] = lambda _: None
    resulting_requests: Callable[[ActionContext], Awaitable[Sequence[UUID]]] = no_requests
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


async def possible_actions(
    use_cases: UseCases, kind: ResourceKind, key: str, caller: Caller
) -> tuple[str, list[Possible]]:
    """Returns the version of a thing, and what the caller can decide about it now."""
    async with use_cases.unit_of_work.begin() as tx:
        context = await kind.lock(use_cases, tx, key, caller, acting=False)
        offered = [each for each in kind.actions.values() if each.offered]
        mine = [each for each in offered if each.channel or caller.role == "privacy"]
        return context.version, [
            await describe_action(context, each) for each in mine if await await_if_needed(each.may(context))
        ]


async def describe_offer(
    use_cases: UseCases, kind: ResourceKind, key: str, action: Action, caller: Caller, *, reading: bool
) -> tuple[ActionContext, Offered, Pairs]:
    """Returns a thing, an action about it, and, if it is ``reading``, what to read first."""
    async with use_cases.unit_of_work.begin() as tx:
        context = await kind.lock(use_cases, tx, key, caller, acting=False)
        possible = await await_if_needed(action.may(context))
        offered = Offered(**dict(await describe_action(context, action)), possible=possible)
        return context, offered, await action.reads(context) if reading and possible else ()


def schema_of(body: type[BaseModel]) -> dict[str, Any]:
    """Returns the JSON Schema of a body; the caller may change it."""
    schema: dict[str, Any] = orjson.loads(_schema(body))
    return schema


@cache
def _schema(body: type[BaseModel]) -> bytes:
    return orjson.dumps(body.model_json_schema())


async def describe_action(context: ActionContext, action: Action) -> Possible:
    """Returns an action as it is offered: its schema names the values that can be chosen."""
    schema = schema_of(action.body)
    for name, offer in action.choices.items():
        options: Options = await await_if_needed(offer(context))
        field = schema["properties"]
        *outer, last = name.split(".")
        for each in outer:
            field = _resolve_ref(schema, field[each])["properties"]
        kept = {key: field[last][key] for key in ("title", "description") if key in field[last]}
        chosen = {"oneOf": [{"const": value, "title": words} for value, words in options]}
        is_list = field[last].get("type") == "array"
        field[last] = {**kept, **({"type": "array", "items": chosen} if is_list else chosen)}
    return Possible(
        name=action.name,
        title=action.title,
        effects=action.does(context),
        final=action.final,
        needs=action.power,
        channel=action.channel,
        approval=f"a second person with the power {action.approving}" if _always_needs_two(context, action) else None,
        body_schema=schema,
    )


def _resolve_ref(schema: Mapping[str, Any], field: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [each for each in field.get("anyOf", ()) if each.get("type") != "null"]
    found = kinds[0] if kinds else field
    return dict(schema["$defs"][found["$ref"].rpartition("/")[2]]) if "$ref" in found else dict(found)


def _always_needs_two(context: ActionContext, action: Action) -> bool:
    """Whether a second person is needed whatever the body says."""
    return bool(action.second(context, action.body.model_construct()))
