"""What every adapter of a store with a declared dataset says of itself, whichever database it is."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, Protocol, TypeVar
from uuid import UUID

from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure
from shared.downstreams.claims import REACHED
from shared.downstreams.contract import Result, Task
from shared.downstreams.refusals import STATES, Telling
from shared.downstreams.sql.changing.unswitched import reach
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sweepable import Dated

_OF_A_PERSON: Final = frozenset({IdentityType.ACCOUNT_ID, IdentityType.EMAIL})
"""By what requests and holds tell a person; a number is a line."""

S = TypeVar("S")
_S_co = TypeVar("_S_co", covariant=True)
_S_contra = TypeVar("_S_contra", contravariant=True)
Work = Callable[[S, Sequence[Task]], Awaitable[Sequence[Result]]]


class Store(Protocol[_S_co]):
    """A store, and a connection to it for the rows of one tenant."""

    @property
    def dataset(self) -> Dataset: ...

    @property
    def tenancy(self) -> Tenancy: ...

    def session(self, tenant: str | None = None, *, reading: bool = False) -> AbstractAsyncContextManager[_S_co]: ...

    async def close(self) -> None: ...


class Comparison(Protocol[_S_contra]):
    """What of a store is compared with what we know, in the words of its database."""

    async def shown(self, session: _S_contra, operation: Operation, /) -> int: ...

    async def shown_of(self, session: _S_contra, tasks: Sequence[Task], /) -> Collection[str]: ...


class OfDataset(Generic[S]):
    """What follows from a dataset alone."""

    on_erasure = frozenset(OnErasure)
    """It does with each category what the policy says, or refuses by name what its dataset does not say how to do."""

    knows_no_states = True
    """For how long a contract is active or an invoice open its rows do not tell, unless ``refuse_when`` does."""

    def __init__(self, system: str, store: Store[S], comparison: Comparison[S]) -> None:
        self._system = system
        self._held = store
        self._comparison = comparison

    async def close(self) -> None:
        """Closes the connections."""
        await self._held.close()

    async def shown(self, operation: Operation) -> int:
        """How many rows show that they are restricted, or get no marketing, whoever has put that there."""
        async with self._held.session() as session:
            return await self._comparison.shown(session, operation)

    async def shown_of(self, tasks: Sequence[Task]) -> Collection[str]:
        """Those of the subjects of these tasks."""
        shown: set[str] = set()
        for tenant, theirs in by_tenant(tasks).items():
            if self._held.tenancy.knows(tenant):
                async with self._held.session(tenant) as session:
                    shown.update(await self._comparison.shown_of(session, theirs))
        return shown

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset searches by, or keeps in its side table."""
        return self._held.dataset.searched_by

    @property
    def yields(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset tells of whom it finds."""
        return self._held.dataset.yields

    @property
    def leads_on(self) -> bool:
        """Whether it may find more of somebody by what its rows tell of them."""
        return self._held.dataset.leads_on

    @property
    def untold(self) -> tuple[str, ...]:
        """Of accounts and addresses what its rows are searched by and do not tell: what is filed by it is not seen."""
        known = self._held.dataset.searched_by & _OF_A_PERSON
        return tuple(sorted(known - self._held.dataset.yields)) if len(known) > 1 else ()

    @property
    def claims_accounts(self) -> tuple[str, ...]:
        """Tables that yield an account beside an address or a number: that is a claim, until something confirms it."""
        tables = ((name, table.columns.values()) for name, table in self._held.dataset.tables.items())
        told = ((name, {c.identity for c in held}, {c.identity for c in held if c.yields}) for name, held in tables)
        return tuple(name for name, kinds, yields in told if IdentityType.ACCOUNT_ID in yields and kinds & REACHED)

    @property
    def never_told_apart(self) -> tuple[str, ...]:
        """Tables filed by an account alone, where no record of the account tells in any row whose that is."""
        return self._held.dataset.never_told_apart

    @property
    def tells_people_apart(self) -> bool:
        """Whether a table tells the people apart whom an address finds in it."""
        return any(table.told_apart_by for table in self._held.dataset.tables.values())

    @property
    def may_refuse(self) -> bool:
        """Whether a table declares a state of a row in which nothing of its subject may be erased."""
        return any(table.refuse_when for table in self._held.dataset.tables.values())

    @property
    def tells(self) -> frozenset[str]:
        """The states of the policy of which its tables tell whether they last."""
        return frozenset(STATES[each.reason] for each in self.telling if each.reason in STATES)

    @property
    def telling(self) -> Sequence[Telling]:
        """The tables that tell a state in which something must stay."""
        tables = self._held.dataset.tables.items()
        return [Telling(name, table.category, state.reason) for name, table in tables for state in table.refuse_when]

    @property
    def knows_times(self) -> bool:
        """Whether it tells of what time its rows are, so that a period leaves some of them out."""
        return any(table.occurred or table.period for table in self._held.dataset.tables.values())

    weighs_claims = True
    """What its rows say of whom they are about is compared with what is known of the subject (``claims.py``)."""

    @property
    def heeds_periods(self) -> bool:
        """Whether what is no longer theirs finds rows of its time alone (``search_keys.py``)."""
        return self.knows_times

    @property
    def keeps_periods(self) -> bool:
        """Whether a restriction stands in it by number and period, as the register tells them."""
        return self._held.dataset.restriction is not None

    @property
    def one_flag(self) -> bool:
        """Whether a row bears one switch, whoever has asked for it."""
        tables = self._held.dataset.tables.values()
        return self._held.dataset.restriction is None and any(table.restriction for table in tables)

    @property
    def not_held(self) -> frozenset[Operation]:
        """What concerns nothing that its dataset declares."""
        return self._held.dataset.not_held

    @property
    def undeclared(self) -> frozenset[Operation]:
        """What it cannot do because its dataset declares no switch for it."""
        dataset = self._held.dataset
        if dataset.restriction or any(table.restriction for table in dataset.tables.values()):
            return frozenset()
        return frozenset({Operation.RESTRICT, Operation.LIFT})

    @property
    def unrestricted(self) -> tuple[str, ...]:
        """The tables in which nothing tells who is restricted, where others do: a person restricts there."""
        dataset = self._held.dataset
        if dataset.restriction or self.undeclared:
            return ()
        return tuple(sorted(dataset.tables.keys() - reach(dataset.tables)))

    @property
    def tenants(self) -> frozenset[str]:
        """The customers of ours whose rows it tells apart."""
        return frozenset(tenant for tenant in self._held.tenancy.values if tenant)

    @property
    def holds(self) -> frozenset[str]:
        """The categories of its tables."""
        return frozenset(table.category for table in self._held.dataset.tables.values())

    @property
    def corrects(self) -> bool:
        """Whether what it holds may have to be corrected; else it is asked for statements alone."""
        return self._held.dataset.corrects

    @property
    def uncorrected(self) -> tuple[str, ...]:
        """The tables with what identifies people of which no column can be corrected: a person corrects there."""
        return self._held.dataset.uncorrected

    @property
    def stated(self) -> frozenset[str]:
        """The categories whose records bear a person's statement beside them."""
        return frozenset(table.category for table in self._held.dataset.tables.values() if table.stated)

    @property
    def legend(self) -> Mapping[str, Mapping[str, str]]:
        """What its dataset explains, by category and field."""
        return self._held.dataset.legend()

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The columns that are shown, and that neither its dataset nor their name explains."""
        return self._held.dataset.unexplained

    @property
    def dated(self) -> Sequence[Dated]:
        """The tables that say from when periods of the policy count in them."""
        return [
            Dated(
                name, table.category, {a: at.column for a, at in table.anchors.items()}, table.jurisdiction is not None
            )
            for name, table in self._held.dataset.tables.items()
            if table.anchors
        ]

    @property
    def not_told_apart(self) -> tuple[str, ...]:
        """The tables of which nothing tells how many people their rows are about, so that no limit counts them."""
        tables = self._held.dataset.tables.items()
        return tuple(n for n, t in tables if t.searched and not t.parties and not t.told_apart_by)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The tables with a stop of marketing in which no contact point stands, so that no list can be compared."""
        tables = self._held.dataset.tables.items()
        contact = IdentityType.EMAIL, IdentityType.PHONE
        told = {n for n, t in tables for each in t.columns.values() if each.mails and each.identity in contact}
        return tuple(n for n, t in tables if t.marketing and n not in told)

    @property
    def never_shown(self) -> tuple[str, ...]:
        """Columns about other people of which its dataset does not say about whom."""
        return self._held.dataset.unattributed

    @property
    def texts_not_searched(self) -> tuple[str, ...]:
        """Returns the columns with free text, in which mentions of people are not searched."""
        return self._held.dataset.texts

    async def _work(self, tasks: Sequence[Task], work: Work[S], *, reading: bool = False) -> list[Result]:
        """The results of all tasks, each worked in the rows of its own tenant."""
        results: dict[UUID, Result] = {}
        for tenant, theirs in by_tenant(tasks).items():
            if not self._held.tenancy.knows(tenant):
                unknown = NotSupported(f"{self._system} does not tell the data of that customer apart")
                results |= {task.task_id: unknown for task in theirs}
                continue
            async with self._held.session(tenant, reading=reading) as session:
                worked = await work(session, theirs)
            results |= {task.task_id: result for task, result in zip(theirs, worked, strict=True)}
        return [results[task.task_id] for task in tasks]


def by_tenant(tasks: Sequence[Task]) -> Mapping[str | None, Sequence[Task]]:
    """The tasks of each tenant."""
    return {tenant: [t for t in tasks if t.tenant == tenant] for tenant in dict.fromkeys(t.tenant for t in tasks)}
