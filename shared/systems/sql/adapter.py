"""A SQL store as the services ask for it: what follows from its dataset, its check, and what is compared by night."""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Operation
from shared.domain.policy import OnErasure, Policy
from shared.systems.engine.claims import REACHED
from shared.systems.engine.records import Record
from shared.systems.engine.serving import Served
from shared.systems.sql import check
from shared.systems.sql.declaration.tables import Table
from shared.systems.sql.settings import SqlSettings
from shared.systems.sql.system import SqlSystem
from shared.systems.states import STATES, Telling
from shared.systems.sweepable import Dated

_OF_A_PERSON: Final = frozenset({IdentityType.ACCOUNT_ID, IdentityType.EMAIL})
"""By what requests and holds tell a person; a number is a line."""


class SqlAdapter(Served):
    """Locatable, Exportable, Erasable, Amendable, Sweepable and Comparable for any store with a declared dataset."""

    on_erasure = frozenset(OnErasure)
    """It does with each category what the policy says, or refuses by name what its dataset does not say how to do."""
    knows_no_states = True
    """For how long a contract is active or an invoice open its rows do not tell, unless ``refuse_when`` does."""
    erases_by_category = True
    """What was kept by a consent alone goes, and the rest stays."""
    spares_by_category = True
    """What a legal hold covers stays, and the rest goes."""

    def __init__(self, system: str, settings: SqlSettings, *, environment: Mapping[str, str], policy: Policy) -> None:
        self._policy = policy
        self._system = SqlSystem(system, settings, environment)
        self._dataset = self._system.dataset
        super().__init__(self._system, policy)

    async def close(self) -> None:
        """Closes the connections."""
        await self._system.close()

    async def inspect(self) -> Sequence[str]:
        """Everything in which the store is not as declared, not prepared, or closed to us."""
        return await check.inspect(self._system)

    @property
    def against_policy(self) -> tuple[str, ...]:
        """What of the policy its dataset says not how to do."""
        return tuple(check.undeclared(self._dataset, self._policy))

    async def forget(self) -> None:
        """Forgets in the store what was noted of requests that are long over, and stated of rows that are gone."""
        async with self._system.unit() as unit:
            await unit.forget()

    async def shown(self, operation: Operation) -> int:
        """How many rows show that they are restricted, or get no marketing, whoever has put that there."""
        async with self._system.unit(reading=True) as unit:
            return await unit.shown(operation)

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        """Our own people whose rows show no stop, by what is known of them there."""
        switched = [(name, table) for name, table in self._dataset.tables.items() if table.marketing]
        for name, table in switched:
            mails = [column for column, each in table.searched.items() if each.mails]
            last: Record | None = None
            while mails:
                async with self._system.unit(reading=True) as unit:
                    page = await unit.rows_of(name, last)
                if not page:
                    break
                last = page[-1]
                yield [[*self._known(mails, table, record)] for record in page if record.flags[1] is not True]

    def _known(self, mails: Sequence[str], table: Table, record: Record) -> Iterator[Identity]:
        for holder, value in zip(record.shape.holders, record.holders, strict=True):
            if holder.column in mails and value is not None:
                with suppress(MalformedIdentity):
                    spelled = normalise(holder.type, value, table.columns[holder.column].region)
                    yield Identity(holder.type, spelled, source=self._system.name)

    @property
    def silences(self) -> frozenset[str]:
        """The categories of which each table tells who wants no marketing: their use can stop without an erasure."""
        tables = self._dataset.tables.values()
        return frozenset(each.category for each in tables) - {each.category for each in tables if not each.marketing}

    @property
    def may_refuse(self) -> bool:
        """Whether some of it may have to stay: by a state, a rule, or for want of a declaration."""
        tables = self._dataset.tables.values()
        kept = any(table.refuse_when or self._policy.keeps(table.category) for table in tables)
        return kept or bool(self.against_policy)

    @property
    def searched_by(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset searches by, or keeps in its side table."""
        return self._dataset.searched_by

    @property
    def yields(self) -> frozenset[IdentityType]:
        """The types of identity that its dataset tells of whom it finds."""
        return self._dataset.yields

    @property
    def leads_on(self) -> bool:
        """Whether it may find more of somebody by what its rows tell of them."""
        return self._dataset.leads_on

    @property
    def untold(self) -> tuple[str, ...]:
        """Of accounts and addresses what its rows are searched by and do not tell: what is filed by it is not seen."""
        known = self._dataset.searched_by & _OF_A_PERSON
        return tuple(sorted(known - self._dataset.yields)) if len(known) > 1 else ()

    @property
    def claims_accounts(self) -> tuple[str, ...]:
        """Tables that yield an account beside an address or a number: that is a claim, until something confirms it."""
        tables = ((name, table.columns.values()) for name, table in self._dataset.tables.items())
        told = ((name, {c.identity for c in held}, {c.identity for c in held if c.yields}) for name, held in tables)
        return tuple(name for name, kinds, yields in told if IdentityType.ACCOUNT_ID in yields and kinds & REACHED)

    @property
    def never_told_apart(self) -> tuple[str, ...]:
        """Tables filed by an account alone, where no record of the account tells in any row whose that is."""
        return self._dataset.never_told_apart

    @property
    def tells_people_apart(self) -> bool:
        """Whether a table tells the people apart whom an address finds in it."""
        return any(table.told_apart_by for table in self._dataset.tables.values())

    @property
    def tells(self) -> frozenset[str]:
        """The states of the policy of which its tables tell whether they last."""
        return frozenset(STATES[each.reason] for each in self.telling if each.reason in STATES)

    @property
    def telling(self) -> Sequence[Telling]:
        """The tables that tell a state in which something must stay."""
        tables = self._dataset.tables.items()
        return [Telling(name, table.category, state.reason) for name, table in tables for state in table.refuse_when]

    @property
    def knows_times(self) -> bool:
        """Whether it tells of what time its rows are, so that a period leaves some of them out."""
        return any(table.occurred or table.period for table in self._dataset.tables.values())

    weighs_claims = True
    """What its rows say of whom they are about is compared with what is known of the subject (``claims.py``)."""

    @property
    def heeds_periods(self) -> bool:
        """Whether what is no longer theirs finds rows of its time alone (``search_keys.py``)."""
        return self.knows_times

    @property
    def keeps_periods(self) -> bool:
        """Whether a restriction stands in it by number and period, as the register tells them."""
        return self._dataset.restriction is not None

    @property
    def one_flag(self) -> bool:
        """Whether a row bears one switch, whoever has asked for it."""
        tables = self._dataset.tables.values()
        return self._dataset.restriction is None and any(table.restriction for table in tables)

    @property
    def not_held(self) -> frozenset[Operation]:
        """What concerns nothing that its dataset declares."""
        return self._dataset.not_held

    @property
    def undeclared(self) -> frozenset[Operation]:
        """What it cannot do because its dataset declares no switch for it."""
        dataset = self._dataset
        if dataset.restriction or any(table.restriction for table in dataset.tables.values()):
            return frozenset()
        return frozenset({Operation.RESTRICT, Operation.LIFT})

    @property
    def unrestricted(self) -> tuple[str, ...]:
        """The tables in which nothing tells who is restricted, where others do: a person restricts there."""
        dataset = self._dataset
        if dataset.restriction or self.undeclared:
            return ()
        return tuple(sorted(dataset.tables.keys() - _reach(dataset.tables)))

    @property
    def tenants(self) -> frozenset[str]:
        """The customers of ours whose rows it tells apart."""
        return frozenset(tenant for tenant in self._system.tenancy.values if tenant)

    @property
    def holds(self) -> frozenset[str]:
        """The categories of its tables."""
        return frozenset(table.category for table in self._dataset.tables.values())

    @property
    def corrects(self) -> bool:
        """Whether what it holds may have to be corrected; else it is asked for statements alone."""
        return self._dataset.corrects

    @property
    def uncorrected(self) -> tuple[str, ...]:
        """The tables with what identifies people of which no column can be corrected: a person corrects there."""
        return self._dataset.uncorrected

    @property
    def stated(self) -> frozenset[str]:
        """The categories whose records bear a person's statement beside them."""
        return frozenset(table.category for table in self._dataset.tables.values() if table.stated)

    @property
    def legend(self) -> Mapping[str, Mapping[str, str]]:
        """What its dataset explains, by category and field."""
        return self._dataset.legend()

    @property
    def unexplained(self) -> tuple[str, ...]:
        """The columns that are shown, and that neither its dataset nor their name explains."""
        return self._dataset.unexplained

    @property
    def dated(self) -> Sequence[Dated]:
        """The tables that say from when periods of the policy count in them."""
        return [
            Dated(
                name, table.category, {a: at.column for a, at in table.anchors.items()}, table.jurisdiction is not None
            )
            for name, table in self._dataset.tables.items()
            if table.anchors
        ]

    @property
    def not_told_apart(self) -> tuple[str, ...]:
        """The tables of which nothing tells how many people their rows are about, so that no limit counts them."""
        tables = self._dataset.tables.items()
        return tuple(n for n, t in tables if t.searched and not t.parties and not t.told_apart_by)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """The tables with a stop of marketing in which no contact point stands, so that no list can be compared."""
        tables = self._dataset.tables.items()
        contact = IdentityType.EMAIL, IdentityType.PHONE
        told = {n for n, t in tables for each in t.columns.values() if each.mails and each.identity in contact}
        return tuple(n for n, t in tables if t.marketing and n not in told)

    @property
    def never_shown(self) -> tuple[str, ...]:
        """Columns about other people of which its dataset does not say about whom."""
        return self._dataset.unattributed

    @property
    def texts_not_searched(self) -> tuple[str, ...]:
        """Returns the columns with free text, in which mentions of people are not searched."""
        return self._dataset.texts


def _reach(tables: Mapping[str, Table]) -> frozenset[str]:
    """Of some tables those whose readers know of a restriction: they bear it, lead there, or name its account."""
    reached = {name for name, table in tables.items() if table.restriction}
    if any(tables[name].is_of_one_account for name in reached):
        reached |= {name for name, table in tables.items() if IdentityType.ACCOUNT_ID in table.types}
    while led := {name for name in tables.keys() - reached if _leads(tables[name], reached)}:
        reached |= led
    return frozenset(reached)


def _leads(table: Table, reached: Iterable[str]) -> bool:
    return any(step.table in reached for _, path in table.paths for step in path)
