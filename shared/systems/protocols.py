"""What an adapter may be able to do, protocol by protocol; each operation takes tasks and returns a result for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Record, Result, Task

HandOver = Callable[[UUID, Sequence[Record]], Awaitable[None]]
"""Takes a part of what was found for a task to the vault; what an earlier call has handed over counts no more.

Raises ``Withdrawn``, or that the task is another worker's by now; let it pass.
"""


@runtime_checkable
class ExportableInParts(Protocol):
    """Can hand records over while it reads them, so that a copy may have any number of them."""

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver
    ) -> Sequence[Result]: ...


@runtime_checkable
class Marketable(Protocol):
    """Can tell whom it would send marketing to, so that it can be compared with the list of those who get none.

    By page, for each person or row without a mark that stops it what that is known by there: contact points, and
    accounts. Of ours alone, no customer's; changes nothing.
    """

    def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]: ...


@runtime_checkable
class Forgetful(Protocol):
    """Keeps something of our own that may be forgotten once it is old enough; asked once a night."""

    async def forget(self) -> None: ...


@runtime_checkable
class Assigning(Protocol):
    """Knows of every number whose it is and was, and when (REQ-N1)."""

    async def assignments(self) -> Sequence[AssignedNumber]: ...


@runtime_checkable
class Inspectable(Protocol):
    """Can look at its live system, and says in which way that is not as declared, not prepared, or closed to us."""

    async def inspect(self) -> Sequence[str]: ...


@runtime_checkable
class Replaceable(Protocol):
    """Changes a store that may be restored from a backup, and tells which one it has seen last; empty: none yet."""

    @property
    def incarnation(self) -> str: ...


class Adapter(Protocol):
    """What every adapter has apart from the operations of its system; it connects at its first use."""

    @property
    def can(self) -> Capabilities: ...

    async def close(self) -> None: ...


Operate = Callable[[Sequence[Task], Checkpoint], Awaitable[Sequence[Result]]]
"""One operation of an adapter."""
METHODS: Mapping[Operation, str] = {
    Operation.LOCATE: "locate",
    Operation.EXPORT: "export",
    Operation.ERASE: "erase",
    Operation.PLAN: "plan",
    **dict.fromkeys((Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS), "amend"),
    Operation.ESCALATE: "escalate",
    Operation.FLAG: "flag",
}
"""By operation the method of an adapter that does it, an ``Operate``. Without it a person does it there.

``locate`` finds a subject and yields further identities. ``export`` hands out everything about them (Art. 15, 20).
``erase`` removes them and looks again (Art. 17). ``plan`` says what that would find and leave, and changes nothing.
``amend`` changes in place, reversibly (Art. 16, 18, 21). All tasks of one call have the same operation.
``escalate`` puts a warning about a request before the privacy team, once, and adds to it later. ``flag`` shows with the
subject's contact that a request is open. Taking that away needs no identities.
"""
