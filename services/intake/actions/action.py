"""Defines an action: a decision of a member of staff, or a channel, about a thing; one row of the registry."""

import tomllib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from services.intake.access.auth import Caller
from services.intake.actions.bodies import Nothing
from services.intake.actions.use_cases import UseCases
from services.intake.letters import sealed_letters
from services.intake.request.aggregate import Request, Transition
from services.intake.store.repository import Requests
from shared.messaging.unit_of_work import UnitOfWork

T = TypeVar("T")
Power = Literal["handle", "approve", "release"]
Options = Sequence[tuple[str, str]]
"""Values that a field offers, each with its label."""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ActionContext:
    """The context of an action: the unit of work, the caller, and the resource, locked until the unit of work ends.

    ``row``: the locked requests, or the row of another kind. ``version``: for ``If-Match``. ``first``: the holder who
    proposed what is approved now. ``sealed_under``: the vault record whose key seals a proposal.
    """

    tx: UnitOfWork
    use_cases: UseCases
    caller: Caller
    key: str
    row: Any
    version: str
    first: str | None = None
    sealed_under: UUID | None = None

    @property
    def request(self) -> Request:
        """Returns the request, if the action is about one."""
        requests: Requests = self.row
        return requests[UUID(self.key)]


async def no_facts(_: ActionContext) -> Pairs:
    """Returns no facts to read first."""
    return ()


async def _nothing(_: ActionContext) -> Transition | None:
    return None


class Text(NamedTuple):
    """The words for staff about an action: its title on links and buttons, and what it will do."""

    title: str
    effects: Sequence[str] = ()


TEXTS: Final = {
    f"{kind}/{name}": Text(**body)
    for kind, actions in tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8")).items()
    for name, body in actions.items()
}


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its form, who may take it, who approves it, and what it does.

    - ``of`` is its kind and name, as in ``texts.toml``; ``effects`` says what depends on the thing.
    - ``may`` says whether it is offered now; ``apply`` does it, and has the last word.
    - ``body`` is its form; ``choices`` are values to choose from, ``known`` is what the form starts with, ``reads`` are
      facts to read first.
    - ``power`` is what a person needs; with ``channel`` the channel that submitted the request may act too.
    - ``second`` says whether another person must approve it. The approval is void once ``about`` gives another text.
      ``target`` are fields that tell open proposals apart, ``shows`` fields that lists show: they identify no person.
      ``meanwhile`` is what a proposal does, and a rejection undoes; ``proposed`` is its name in the evidence.
    - ``final``: it cannot be taken back. ``offered``: it can be taken through the API.
    """

    of: str
    apply: Callable[[ActionContext, Any], Transition | Awaitable[Transition | None] | None]
    may: Callable[[ActionContext], bool | Awaitable[bool]]
    body: type[BaseModel] = Nothing
    power: Power = "handle"
    channel: bool = False
    second: Callable[[ActionContext, Any], bool] = lambda _, __: False
    about: Callable[[ActionContext, Any], str | Awaitable[str]] = lambda context, _: f"{context.request.state}"
    target: Sequence[str] = ()
    shows: Sequence[str] = ()
    choices: Mapping[str, Callable[[ActionContext], Options | Awaitable[Options]]] = field(default_factory=dict)
    reads: Callable[[ActionContext], Awaitable[Pairs]] = no_facts
    known: Callable[[ActionContext], BaseModel | None] = lambda _: None
    effects: Callable[[ActionContext], Sequence[str]] = lambda _: ()
    proposed: str = "approval.proposed"
    meanwhile: Callable[[ActionContext], Awaitable[Transition | None]] = _nothing
    final: bool = False
    offered: bool = True

    @property
    def name(self) -> str:
        """Returns its name, as in its address."""
        return self.of.partition("/")[2]

    @property
    def title(self) -> str:
        """Returns the words of its link and button."""
        return TEXTS[self.of].title

    @property
    def always(self) -> Sequence[str]:
        """Returns what it does, whatever it is about."""
        effects = TEXTS[self.of].effects
        return () if any("{" in each for each in effects) else effects

    @property
    def approving(self) -> Power:
        """Returns the power that an approver needs."""
        return "release" if self.power == "release" else "approve"

    def does(self, context: ActionContext) -> list[str]:
        """Returns what it will do about that thing."""
        return [*(each.format(row=context.row) for each in TEXTS[self.of].effects), *self.effects(context)]

    def target_of(self, body: BaseModel) -> str:
        """Returns which of several open proposals a body belongs to."""
        return " ".join(str(getattr(body, name)) for name in self.target)


def always_two(_: ActionContext, __: BaseModel) -> bool:
    """Always asks for a second person."""
    return True


def plain_options(*values: str) -> Options:
    """Labels codes with plain words."""
    return [(value, value.replace("_", " ")) for value in values]


async def seal_note(context: ActionContext, name: str, words: str | None) -> dict[str, JsonValue]:
    """Seals a note of the privacy team with the letters of the request; returns where, for the evidence."""
    if not words:
        return {}
    return {
        "note": str(await sealed_letters.seal_text(context.tx, context.request, "explanation", name, words.encode()))
    }


async def await_if_needed(value: T | Awaitable[T]) -> T:
    """Returns the value once it is there."""
    return await value if isawaitable(value) else value
