"""A kind of thing about which there are actions: how it is found and locked, and what its actions are."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol
from uuid import UUID

from services.intake.access.auth import Caller
from services.intake.actions.action import Action, Held
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
    """The requests that most things become."""
    return ()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing about which there are actions.

    ``take``: puts into effect what an action returns; returns the thing as it is then. ``stands``: its state in a word.
    ``recorded``: under which id the evidence has it. ``titled``: how a page names it. ``due``: by when it must be done.
    ``became``: the requests that it has become. ``channels``: a channel may act, too. ``key``: the type of its id.
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
    key: type = UUID

    def action(self, name: str, caller: Caller) -> Action:
        """The action of that name.

        Raises:
            NotFound: there is none.
            Forbidden: it is the privacy team's.
        """
        found = self.actions.get(name)
        if found is None or not found.offered:
            known = ", ".join(sorted(each.name for each in self.actions.values() if each.offered))
            raise NotFound(f"there is no such action; there are {known}")
        if not found.channel:
            caller.must_be("privacy")
        return found
