"""Why a task must not go on with the rows that were found, and what is told of those that are nobody's."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.errors import ForeignHit, Refused
from shared.domain.identities import IdentityType
from shared.downstreams import claims, leaving
from shared.downstreams.claims import Row, Said
from shared.downstreams.contract import Receipt, Result, States, Task
from shared.downstreams.refusals import STATES, lasting
from shared.downstreams.sql.finding.claimed import has_one_person_an_account, named_by
from shared.downstreams.sql.finding.examination import UNATTRIBUTED_AT_MOST, told_apart
from shared.downstreams.sql.finding.searching import Searched
from shared.downstreams.sql.keeping import states
from shared.downstreams.sql.mariadb import values
from shared.downstreams.sql.mariadb.names import marks, place_of, quoted
from shared.downstreams.sql.mariadb.rows import Found, Rows
from shared.downstreams.sql.mariadb.sharing import shared
from shared.downstreams.sql.mariadb.store import Session


async def refusal(session: Session, task: Task, rows: Rows) -> Refused | None:
    """Why nothing may be done: rows lead to others as well, or are of too many people."""
    if table := await shared(session, rows):
        return ForeignHit(
            f"{table}: a row leads to other people as well; nothing was done. Say in the dataset which joins are whose:"
            " via below each of the parties"
        )
    if excess := session.settings.excess(task, people=_people(session, rows)):
        return excess
    return claims.beyond(task, _told(session, rows))


def _people(session: Session, rows: Rows) -> int:
    """How many people they are of, by the columns that tell people apart."""
    people: dict[str, set[str]] = {}
    for table in (table for table in session.tables if table.table.told_apart_by):
        for found in rows.of.get(table.name, {}).values():
            who = told_apart(table.name, table.table, values.read(table, table.table.told_apart_by or "", found.row))
            if who is not None:
                people.setdefault(who[0], set()).add(who[1])
    return max(map(len, people.values()), default=0)


def _told(session: Session, rows: Rows) -> Iterator[Row]:
    """What the rows say of whom they are about, party by party."""
    for table in session.tables:
        for found in rows.of.get(table.name, {}).values():
            yield from told_of(table, found)


def told_of(table: Searched, found: Found) -> Iterator[Row]:
    """What a row says of each of the parties that the subject is in it, with what is said by the rows it leads to."""
    recorded = table.table.accounts_recorded
    for party in found.parties:
        ends = (each._replace(record=bool(recorded) and not _is_account(each)) for each in _ends(table, found, party))
        yield (*_named(table, found, party, recorded), *ends)


def _is_account(said: Said) -> bool:
    return said.type is IdentityType.ACCOUNT_ID


def _named(table: Searched, found: Found, party: str | None, recorded: frozenset[str] = frozenset()) -> Iterator[Said]:
    """What its own columns say; ``recorded``: those with the account whose own record it is."""
    of_one = has_one_person_an_account(table.table)
    for name in table.search:
        column = table.table.columns[name]
        if column.party == party and column.identity:
            said = Said(column.identity, values.compared(table, name, found.row), column.region, of_one)
            yield said._replace(record=name in recorded if _is_account(said) else bool(recorded))
    for name, kind in named_by(table, party).items():
        yield Said(kind, values.read(table, name, found.row), of_one=of_one)


def _ends(table: Searched, found: Found, party: str | None) -> Iterator[Said]:
    for number, ends in found.ends.items():
        path = table.paths[number]
        for end in ends if path.party == party else ():
            for of in end.parties if path.of is None else {path.of}:
                yield from (each for each in _named(path.end, end, of) if each.type is not IdentityType.NAME)
                yield from _ends(path.end, end, of)


def states_of(session: Session, task: Task, rows: Rows) -> States | None:
    """Which states of the policy last by a subject's rows; None where none is declared, or they are a customer's."""
    told = states.told(said_of(session, task, rows), task.task_id) if session.tenant is None else {}
    return told or None


def said_of(session: Session, task: Task, rows: Rows) -> list[states.Said]:
    """What the rows say of each state that the dataset declares."""
    found = []
    for table in session.tables:
        held = [each.row for each in rows.of.get(table.name, {}).values()]
        for state in table.table.refuse_when:
            says = {values.tells(state, row) for row in held}
            mine, nobody = frozenset({task.task_id}), frozenset[UUID]()
            lasts, unclear = mine if True in says else nobody, mine if None in says else nobody
            found.append(states.Said(table.name, state, lasts, unclear))
    return found


def speaking(table: Searched, row: values.Row) -> leaving.Speaking:
    """What a row says of each state of the policy that its table declares."""
    says: dict[str, bool | None] = {}
    for state in table.table.refuse_when:
        if word := STATES.get(state.reason):
            says[word] = lasting(says.get(word, False), values.tells(state, row))
    return leaving.Speaking(table.name, table.table.category, tuple(says.items()))


async def with_unattributed(session: Session, tasks: Sequence[Task], results: Sequence[Result]) -> list[Result]:
    """The results, each with the rows of which nobody can tell whether they are the subject's, who has a number.

    They are counted after the work, up to a limit and once for all of the tasks.
    """
    asked = [(table, call) for table in session.tables if (call := _unattributed(session, table))]
    types = {kind for table, _ in asked for kind in table.table.types}
    if not types.intersection(each.type for task in tasks for each in task.identities):
        return [*results]
    rows = sum([int(await session.connection.value(statement, *arguments)) for _, (statement, *arguments) in asked])
    return [
        replace(result, unattributed=rows)
        if rows and isinstance(result, Receipt) and any(each.type in types for each in task.identities)
        else result
        for task, result in zip(tasks, results, strict=True)
    ]


def _unattributed(session: Session, table: Searched) -> tuple[str, *tuple[object, ...]] | None:
    """What counts the rows with a number that may be anybody's, or that are of no tenant that is known."""
    conditions, arguments = [], list[object]()
    for condition, theirs in (*_lost(table), *_nobodys(session, table)):
        conditions.append(condition)
        arguments += theirs
    if not conditions:
        return None
    where = " OR ".join(conditions)
    limited = f"SELECT 1 FROM {place_of(session.place(table))} t WHERE {where} LIMIT {UNATTRIBUTED_AT_MOST}"
    return f"SELECT count(*) FROM ({limited}) x", *arguments


def _lost(table: Searched) -> Iterator[tuple[str, list[object]]]:
    """That a column has a value, and nothing that is derived from it has."""
    for raw in dict.fromkeys(column.of for column in table.table.columns.values() if column.of):
        derived = {name: column for name, column in table.table.columns.items() if column.of == raw}
        party = next(iter(derived.values())).party
        nobody = [*(table.table.parties[party].nobody if party else ("",))]
        none = " AND ".join(f"t.{quoted(name)} IS NULL" for name in derived)
        other = f" AND t.{quoted(raw)} NOT IN ({marks(nobody)})" if nobody else ""
        theirs, words = _theirs(table)
        yield f"({none} AND t.{quoted(raw)} IS NOT NULL{other}{theirs})", [*nobody, *words]


def _theirs(table: Searched) -> tuple[str, list[object]]:
    """That a row is the tenant's, or ours, and about people: a condition that goes on, and its parameters."""
    said, arguments = "", list[object]()
    for test in table.table.where:
        if test.null is not None:
            said += f" AND t.{quoted(test.column)} IS {'' if test.null else 'NOT '}NULL"
        else:
            said += f" AND t.{quoted(test.column)} IN ({marks(test.words)})"
            arguments += test.words
    if table.table.tenant is not None:
        owners = table.tenancy.values[table.tenant]
        said += f" AND LOWER(t.{quoted(table.table.tenant)}) IN ({marks(owners)})"
        arguments += owners
    return said, arguments


def _nobodys(session: Session, table: Searched) -> Iterator[tuple[str, list[object]]]:
    """That a row is declared of nobody, neither of us nor of a tenant."""
    if table.table.tenant is not None and session.tenant is None:
        known = [*dict.fromkeys(value for values_ in table.tenancy.values.values() for value in values_)]
        owner = f"t.{quoted(table.table.tenant)}"
        yield f"({owner} IS NULL OR LOWER({owner}) NOT IN ({marks(known)}))", [*known]
