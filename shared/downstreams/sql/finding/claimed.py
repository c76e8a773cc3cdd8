"""What rows say of whom they are about that an account leads to, so that nobody gets another's by it (REQ-N5)."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

from shared.domain.errors import Refused
from shared.domain.identities import IdentityType
from shared.downstreams import claims
from shared.downstreams.claims import NAMED, Row, Said
from shared.downstreams.contract import Task
from shared.downstreams.sql.declaration.tables import Table
from shared.downstreams.sql.finding.search_keys import Wanted
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


async def refusals(session: Session, tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Tasks of which an account leads to rows of other people."""
    filed = [task for task in tasks if any(each.type is IdentityType.ACCOUNT_ID for each in task.identities)]
    told: defaultdict[int, list[Row]] = defaultdict(list)
    for table in session.tables if filed else ():
        if asked := table.wanted(filed):
            for party in _parties(table):
                await _read(session, table, party, asked, told)
    found = {filed[position].task_id: claims.beyond(filed[position], rows) for position, rows in told.items()}
    return {task_id: refusal for task_id, refusal in found.items() if refusal is not None}


def named_by(table: Searched, party: str | None) -> Mapping[str, IdentityType]:
    """The columns of a table that name a party, and by which nobody is searched there."""
    held = ((name, c) for name, c in table.table.columns.items() if c.party == party and name not in table.search)
    kinds = ((name, column.identity or NAMED.get(column.rectifies or "")) for name, column in held)
    return {name: kind for name, kind in kinds if kind is not None}


def said_by(table: Searched, values: Sequence[object], parties: Collection[str | None]) -> list[Row]:
    """What of each of these parties the values say by which a row may be found, in the order of the finders."""
    of_one, record = _of_one(table), _in_record(table)
    found = [
        (finder.party, Said(finder.slot[1], value, table.regions.get(finder.slot), finder.slot[0] in of_one, own))
        for finder, value, own in zip(table.finders, values, record, strict=False)
    ]
    return [tuple(said for whose, said in found if whose == party) for party in parties]


def has_one_person_an_account(table: Table) -> bool:
    """Whether it is declared that the account tells people apart (``person``), and not only taken to."""
    column = table.columns.get(table.person or "")
    return column is not None and column.identity is IdentityType.ACCOUNT_ID


def _of_one(table: Searched) -> frozenset[str]:
    """The table, and those at the ends of its paths, of which that is declared."""
    own = frozenset({table.name} if has_one_person_an_account(table.table) else ())
    return own.union(*(_of_one(path.end) for path in table.paths))


def _in_record(table: Searched) -> list[bool]:
    """Of each of the finders whether it stands in the record of an account itself: of accounts those that it is of.

    What tells whose such a record is, by a join, stands in it, and no account that is found there.
    """
    recorded = table.table.accounts_recorded
    accounts = [name in recorded for name in table.search] + [False] * (len(table.finders) - len(table.search))
    kinds = (finder.slot[1] for finder in table.finders)
    return [of if kind is IdentityType.ACCOUNT_ID else bool(recorded) for kind, of in zip(kinds, accounts, strict=True)]


def _parties(table: Searched) -> Iterator[str | None]:
    """The parties whom a row tells of by their account: one that says nothing else of them is nobody's by that."""
    for party in dict.fromkeys(finder.party for finder in table.finders):
        kinds = {finder.slot[1] for finder in table.finders if finder.party == party}
        if IdentityType.ACCOUNT_ID in kinds.union(named_by(table, party).values()):
            yield party


async def _read(
    session: Session, table: Statements, party: str | None, asked: Wanted, told: defaultdict[int, list[Row]]
) -> None:
    """Each of the different things that the rows say, for everybody whom they may be about."""
    named = named_by(table, party)
    theirs = [number for number, finder in enumerate(table.finders) if finder.party == party]
    more = "".join(f", {table.read(column)}::text AS dsr_x{n}" for n, column in enumerate(named))
    shown = ", ".join([*(f"f.dsr_s{number}" for number in theirs), *(f"f.dsr_x{n}" for n, _ in enumerate(named))])
    rows = f"SELECT {table.found}{more} FROM {table.source} t{table.joins} WHERE {table.any_of(joined=True)}"
    statement = f"{table.beside()}SELECT DISTINCT {shown} FROM ({rows}) f"
    for row in await session.connection.fetch(statement, *asked.arrays):
        values: list[object] = [None] * len(table.finders)
        for number, value in zip(theirs, row, strict=False):
            values[number] = value
        of_one = has_one_person_an_account(table.table)
        beside = [
            Said(kind, value, of_one=of_one) for kind, value in zip(named.values(), row[len(theirs) :], strict=True)
        ]
        said = (*said_by(table, values, [party])[0], *beside)
        owners = (asked.owners[table.finders[number].slot].get(str(values[number]), ()) for number in theirs)
        for position in {position for each in owners for position, _ in each}:
            told[position].append(said)
