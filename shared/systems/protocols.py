"""What an adapter may be able to do, protocol by protocol; each operation takes tasks and returns a result for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable
from uuid import UUID

from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, Record, Result, Task


@runtime_checkable
class Locatable(Protocol):
    """Can find a subject and yield further identities of theirs."""

    async def locate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


@runtime_checkable
class Exportable(Protocol):
    """Can hand out everything that it holds about a subject (Art. 15, 20)."""

    async def export(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


HandOver = Callable[[UUID, Sequence[Record]], Awaitable[None]]
"""Takes a part of what was found for a task to the vault; what an earlier call has handed over counts no more.

Raises ``Withdrawn``, or that the task is another worker's by now; let it pass.
"""


@runtime_checkable
class ExportableInParts(Exportable, Protocol):
    """Can hand records over while it reads them, so that a copy may have any number of them."""

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver
    ) -> Sequence[Result]: ...


@runtime_checkable
class Erasable(Protocol):
    """Can remove a subject and look again (Art. 17)."""

    async def erase(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


@runtime_checkable
class Plannable(Protocol):
    """Can say what an erasure would do to a subject's data, and whether it would be refused; it changes nothing.

    ``planned`` with what is ``found`` by category, and ``remaining`` of it after an erasure: why, and until when.
    """

    async def plan(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


@runtime_checkable
class Amendable(Protocol):
    """Can change in place, reversibly: correct (Art. 16), restrict and lift (Art. 18), stop marketing (Art. 21).

    All tasks of one call have the same operation.
    """

    async def amend(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


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
class Escalatable(Protocol):
    """Can put a warning about a request before the privacy team, once, and add to it later."""

    async def escalate(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


@runtime_checkable
class Flaggable(Protocol):
    """Can show, with the subject's contact, that a request of theirs is open; taking that away needs no identities."""

    async def flag(self, tasks: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]: ...


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
CAN: Mapping[Operation, tuple[type, str]] = {
    Operation.LOCATE: (Locatable, "locate"),
    Operation.EXPORT: (Exportable, "export"),
    Operation.ERASE: (Erasable, "erase"),
    **dict.fromkeys((Operation.RECTIFY, Operation.RESTRICT, Operation.LIFT, Operation.SUPPRESS), (Amendable, "amend")),
    Operation.ESCALATE: (Escalatable, "escalate"),
    Operation.FLAG: (Flaggable, "flag"),
    Operation.PLAN: (Plannable, "plan"),
}
"""The protocol that an adapter must follow to be asked for an operation, and the method that is called."""
