"""Defines the protocols of adapters; each operation takes tasks and returns a result for each."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from shared.domain.assignments import AssignedNumber
from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.systems.capabilities import Capabilities
from shared.systems.contract import Checkpoint, CopiedRecord, Result, Task

HandOver = Callable[[UUID, Sequence[CopiedRecord]], Awaitable[None]]
"""Hands a part of a task's records to the vault; parts of earlier attempts do not count.

Raises ``Withdrawn``, or an error if another worker has taken the task; let both propagate.
"""


@runtime_checkable
class ExportableInParts(Protocol):
    """Hands records over while it reads, so that a copy has no size limit."""

    async def export_in_parts(
        self, tasks: Sequence[Task], save_progress: Checkpoint, hand_over: HandOver
    ) -> Sequence[Result]: ...


@runtime_checkable
class MarketingList(Protocol):
    """Lists the people to whom it would send marketing, for comparison with the suppression list.

    Yields pages: for each person or row without a stop mark, its contact points and accounts. The company's own data
    only; changes nothing.
    """

    def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]: ...


@runtime_checkable
class Listable(Protocol):
    """Lists the identities of everybody in it, page by page and for each row; the company's own data only."""

    def everybody(self) -> AsyncIterator[Sequence[Sequence[Identity]]]: ...


@runtime_checkable
class Prunable(Protocol):
    """Keeps its own data, which expire; called once a night."""

    async def forget(self) -> None: ...


@runtime_checkable
class NumberSource(Protocol):
    """Knows the past and present holders of every number (REQ-N1)."""

    async def assignments(self) -> Sequence[AssignedNumber]: ...


class Tried(NamedTuple):
    """One operation tried on a person who does not exist: ``missing`` is empty if it works.

    ``how``: the statement or request; ``line``: what the owner pastes.
    """

    operation: str
    how: str
    missing: str = ""
    line: str = ""

    @property
    def says(self) -> str:
        """Returns what is missing, and who does what about it."""
        return f"{self.missing}: let the owner run {self.line}" if self.line else self.missing


@runtime_checkable
class Inspectable(Protocol):
    """Tries what its live system has to do, and reports what differs, is not prepared or denies access."""

    async def inspect(self) -> Sequence[Tried]: ...


@runtime_checkable
class Replaceable(Protocol):
    """Changes a store that may be restored from a backup; ``incarnation``: the store as last seen, empty if unknown."""

    @property
    def incarnation(self) -> str: ...


class Adapter(Protocol):
    """Common to all adapters; it connects at first use."""

    @property
    def can(self) -> Capabilities: ...

    async def close(self) -> None: ...


AdapterCall = Callable[[Sequence[Task], Checkpoint], Awaitable[Sequence[Result]]]
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
"""Names the adapter's method for each operation; without it a person does the work there.

``locate`` finds a subject and yields further identities. ``export`` returns their records (Art. 15, 20). ``erase``
deletes and verifies (Art. 17). ``plan`` reports what ``erase`` would do and changes nothing. ``amend`` changes in
place, reversibly (Art. 16, 18, 21). ``escalate`` opens one warning about a request for the privacy team, and adds to
it. ``flag`` shows at the subject's contact that a request is open; lifting it needs no identities. All tasks of one
call have the same operation.
"""
