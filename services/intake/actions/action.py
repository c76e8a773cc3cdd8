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
from services.intake.actions.deciding import Deciding
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request, Transition
from services.intake.store.repository import Requests
from shared.messaging.unit_of_work import UnitOfWork

T = TypeVar("T")
Power = Literal["handle", "approve", "release"]
Options = Sequence[tuple[str, str]]
"""Values that a field offers, each with its label."""
Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Held:
    """The thing that an action is about, locked until the unit of work ends, and the caller.

    ``row``: the locked requests, or the row of another kind. ``version``: for ``If-Match``. ``first``: who has proposed
    what is approved now. ``sealed_under``: whose key the words of a proposal are sealed under.
    """

    tx: UnitOfWork
    means: Deciding
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


async def no_facts(_: Held) -> Pairs:
    """Returns no facts to read first."""
    return ()


async def _nothing(_: Held) -> Transition | None:
    return None


class Text(NamedTuple):
    """The words for staff about an action: its title on links and buttons, and what it will do."""

    title: str
    effects: Sequence[str] = ()


TEXTS: Final = {
    f"{kind}/{name}": Text(**said)
    for kind, actions in tomllib.loads(Path(__file__).with_name("texts.toml").read_text("utf-8")).items()
    for name, said in actions.items()
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
    apply: Callable[[Held, Any], Transition | Awaitable[Transition | None] | None]
    may: Callable[[Held], bool | Awaitable[bool]]
    body: type[BaseModel] = Nothing
    power: Power = "handle"
    channel: bool = False
    second: Callable[[Held, Any], bool] = lambda _, __: False
    about: Callable[[Held, Any], str | Awaitable[str]] = lambda held, _: f"{held.request.state}"
    target: Sequence[str] = ()
    shows: Sequence[str] = ()
    choices: Mapping[str, Callable[[Held], Options | Awaitable[Options]]] = field(default_factory=dict)
    reads: Callable[[Held], Awaitable[Pairs]] = no_facts
    known: Callable[[Held], BaseModel | None] = lambda _: None
    effects: Callable[[Held], Sequence[str]] = lambda _: ()
    proposed: str = "approval.proposed"
    meanwhile: Callable[[Held], Awaitable[Transition | None]] = _nothing
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

    def does(self, held: Held) -> list[str]:
        """Returns what it will do about that thing."""
        return [*(each.format(row=held.row) for each in TEXTS[self.of].effects), *self.effects(held)]

    def target_of(self, body: BaseModel) -> str:
        """Returns which of several open proposals a body belongs to."""
        return " ".join(str(getattr(body, name)) for name in self.target)


def by_two(_: Held, __: BaseModel) -> bool:
    """Always asks for a second person."""
    return True


def plain(*values: str) -> Options:
    """Labels codes with plain words."""
    return [(value, value.replace("_", " ")) for value in values]


async def noted(held: Held, name: str, words: str | None) -> dict[str, JsonValue]:
    """Seals a note of the privacy team with the letters of the request; returns where, for the evidence."""
    if not words:
        return {}
    return {"note": str(await correspondence.seal(held.tx, held.request, "explanation", name, words.encode()))}


async def settled(value: T | Awaitable[T]) -> T:
    """Returns the value once it is there."""
    return await value if isawaitable(value) else value
