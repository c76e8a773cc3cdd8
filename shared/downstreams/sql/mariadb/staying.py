"""What of a subject's rows an erasure leaves as it is, and why it may do nothing at all; nothing is changed."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial

from shared.domain.errors import Refused
from shared.domain.operations import Kept
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.contract import Task
from shared.downstreams.sql.keeping import states
from shared.downstreams.sql.mariadb import judging
from shared.downstreams.sql.mariadb.rows import Key, Rows, primary
from shared.downstreams.sql.mariadb.store import Session

Place = tuple[str, Key]
"""A row: of which table, with which primary key."""
Stays = Mapping[Place, str]
"""Which rows stay, each by which rule."""


def staying(session: Session, policy: Policy, task: Task, rows: Rows) -> Stays:
    """Which of them stay, with the rows that lead to them.

    Raises:
        ErasureRefused: a row is in a state in which nothing of theirs goes.
        GroundUnknown: it does not say whether it is, or nobody can tell a state by which something would stay.
        RuleUnsigned: nobody has signed a rule by which something would stay.
    """
    said, own = judging.said_of(session, task, rows), judging.states_of(session, task, rows)
    held = {table.name: table.table.category for table in session.tables}
    told = [(each.table, each.word) for each in said if each.word] if session.tenant is None else []
    ruled = [(name, word) for name, word in told if word in policy.lasting(held[name])]
    try:
        if refusal := states.refused(session.system, said, [task], ruled).get(task.task_id):
            raise refusal
        speaking = {
            (table.name, key): judging.speaking(table, each.row)
            for table in session.tables
            for key, each in rows.of.get(table.name, {}).items()
        }
        left = leaving.left(policy, task, Counter(speaking.values()))
        stays = {place: left[each] for place, each in speaking.items() if each in left}
        for rule in (None, *dict.fromkeys(left.values())):
            by = [(name, word) for name, word in told if leaving.keeps_by(policy, held[name], rule, word)]
            of_rule = _only(rows, {place for place in speaking if stays.get(place) == rule})
            said = judging.said_of(session, task, of_rule)
            if refusal := states.refused(session.system, said, [task], by).get(task.task_id):
                raise refusal
    except Refused as refused:
        refused.states = own
        raise
    return leaving.with_what_leads_there(stays, partial(_led, session, rows))


def without(rows: Rows, stays: Stays) -> Rows:
    """The rows that go."""
    return _only(rows, {(name, key) for name, found in rows.of.items() for key in found} - stays.keys())


def _only(rows: Rows, places: Collection[Place]) -> Rows:
    of = {name: {key: each for key, each in found.items() if (name, key) in places} for name, found in rows.of.items()}
    return Rows(of, rows.trace)


def kept(session: Session, stays: Stays) -> tuple[Kept, ...]:
    """What is told of those that stay."""
    held = {table.name: table.table.category for table in session.tables}
    return leaving.kept((held[name], rule) for (name, _), rule in stays.items())


def _led(session: Session, rows: Rows, place: Place) -> Iterator[Place]:
    """The subject's rows by which a row is found to be theirs, and those to which it refers by a foreign key.

    Of a table that a path only passes all stay: it is not noted which of its rows was on the way.
    """
    name, key = place
    table = next(table for table in session.tables if table.name == name)
    found = rows.of[name][key]
    for number, ends in found.ends.items():
        path, route = table.paths[number], session.routes[name][number]
        yield from ((path.end.name, primary(path.end, end.row)) for end in ends)
        passed = (join.table for join in route.joins[:-1])
        yield from ((each, one) for each in passed for one in rows.of.get(each, {}))
    for reference in session.references.keys:
        if reference.child == name:
            refers = tuple(found.row.get(column) for column in reference.columns)
            for one, parent in rows.of.get(reference.parent, {}).items():
                if None not in refers and tuple(parent.row.get(column) for column in reference.to) == refers:
                    yield reference.parent, one
