"""An action: what a member of staff, or a channel, decides about something, as one row of the registry."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue

from services.intake.access.auth import Caller
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
        """The request, where the action is about one."""
        requests: Requests = self.row
        return requests[UUID(self.key)]


async def no_facts(_: Held) -> Pairs:
    """Nothing to read first."""
    return ()


async def _nothing(_: Held) -> Transition | None:
    return None


@dataclass(frozen=True, slots=True)
class _Same:
    """Gives the same effects whatever the action is about."""

    sentences: Sequence[str]

    def __call__(self, _: Held) -> Sequence[str]:
        return self.sentences


@dataclass(frozen=True, slots=True)
class Action:
    """One action: its form, who may take it, who approves it, and what it does.

    - ``name`` is in its address, ``title`` on its link and button; ``effects`` say what it will do.
    - ``body`` is its form; ``choices`` are values to choose from, ``known`` is what the form starts with, ``reads`` are
      facts to read first.
    - ``may`` says whether it is offered now; ``apply`` does it, and has the last word.
    - ``power`` is what a person needs; with ``channel`` the channel that submitted the request may act too.
    - ``second`` says whether another person must approve it. The approval is void once ``about`` gives another text.
      ``target`` are fields that tell open proposals apart, ``shows`` fields that lists show: they identify no person.
      ``meanwhile`` is what a proposal does, and a rejection undoes; ``proposed`` is its name in the evidence.
    - ``final``: it cannot be taken back. ``offered``: it can be taken through the API.
    """

    name: str
    title: str
    body: type[BaseModel]
    effects: Callable[[Held], Sequence[str]]
    apply: Callable[[Held, Any], Transition | Awaitable[Transition | None] | None]
    may: Callable[[Held], bool | Awaitable[bool]]
    power: Power = "handle"
    channel: bool = False
    second: Callable[[Held, Any], bool] = lambda _, __: False
    about: Callable[[Held, Any], str | Awaitable[str]] = lambda held, _: f"{held.request.state}"
    target: Sequence[str] = ()
    shows: Sequence[str] = ()
    choices: Mapping[str, Callable[[Held], Options | Awaitable[Options]]] = field(default_factory=dict)
    reads: Callable[[Held], Awaitable[Pairs]] = no_facts
    known: Callable[[Held], BaseModel | None] = lambda _: None
    proposed: str = "approval.proposed"
    meanwhile: Callable[[Held], Awaitable[Transition | None]] = _nothing
    final: bool = False
    offered: bool = True

    @property
    def always(self) -> Sequence[str]:
        """Returns what it does, whatever it is about."""
        return self.effects.sentences if isinstance(self.effects, _Same) else ()

    @property
    def approving(self) -> Power:
        """Power that an approver needs."""
        return "release" if self.power == "release" else "approve"

    def target_of(self, body: BaseModel) -> str:
        """Which of several open proposals a body belongs to."""
        return " ".join(str(getattr(body, name)) for name in self.target)


def saying(*sentences: str) -> Callable[[Held], Sequence[str]]:
    """Effects that do not depend on the thing."""
    return _Same(sentences)


def by_two(_: Held, __: BaseModel) -> bool:
    """Always asks for a second person."""
    return True


def plain(*values: str) -> Options:
    """Codes, each with itself in plain words as its label."""
    return [(value, value.replace("_", " ")) for value in values]


ANOTHER: Final = "A second person must approve it; until then nothing changes."


async def noted(held: Held, name: str, words: str | None) -> dict[str, JsonValue]:
    """Seals a note of the privacy team with the letters of the request; returns where, for the evidence."""
    if not words:
        return {}
    return {"note": str(await correspondence.seal(held.tx, held.request, "explanation", name, words.encode()))}


async def settled(value: T | Awaitable[T]) -> T:
    """The value, once it is there."""
    return await value if isawaitable(value) else value
