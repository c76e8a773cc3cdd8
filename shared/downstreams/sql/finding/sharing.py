"""Whether rows that are found by joins are the subject's alone: what leads to them may lead to others as well."""

# ruff: noqa: S608 - names are quoted, and what comes from a request is a parameter

from collections.abc import Iterator, Sequence
from itertools import pairwise
from uuid import UUID

from shared.domain.errors import ForeignHit, Refused
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.search_keys import SearchKey
from shared.downstreams.sql.finding.searching import Path
from shared.downstreams.sql.quoting import Condition
from shared.downstreams.sql.statements import Call, Statements
from shared.downstreams.sql.store import Session


async def refusals(session: Session, tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Tasks of which a row that joins lead to is somebody else's as well."""
    refused: dict[UUID, Refused] = {}
    for task, table in ((task, table) for task in tasks for table in session.tables if table.paths):
        calls = _count_shared(table, table.keys(task))
        if any([await session.connection.fetchval(*call) for call in calls]):
            refused[task.task_id] = ForeignHit(
                f"{table.name}: a row leads to other people as well; nothing was done. Say in the dataset which joins"
                " are whose: via below each of the parties"
            )
    return refused


def _count_shared(table: Statements, keys: Sequence[SearchKey]) -> Iterator[Call]:
    """For each path that may lead on to others: the rows at its end that are not the subject's, from rows that are.

    By a single path along unique keys a row leads to nobody else.
    """
    for party in dict.fromkeys(path.party for path in table.paths):
        paths = [path for path in table.paths if path.party == party]
        if keys and (len(paths) > 1 or not paths[0].to_one):
            for path in paths:
                yield _count_others(table, paths, path, keys)


def _count_others(table: Statements, paths: Sequence[Path], path: Path, keys: Sequence[SearchKey]) -> Call:
    condition = Condition()
    first, last = path.hops[0], path.hops[-1]
    theirs = table.mine(keys, condition, paths)
    led = f"SELECT {first.near('t')} FROM {table.source} t WHERE {theirs}{first.meets('t')}"
    for nearer, hop in pairwise(path.hops):
        where = f"{nearer.reached('x', f'({led}) dsr_k')}{hop.meets('x')}"
        led = f"SELECT {hop.near('x')} FROM {nearer.source} x WHERE {where}"
    own = path.end.mine(keys, condition, path.by)
    others = f"{last.reached('t', f'({led}) dsr_k')}{path.end.counted} AND ({own}) IS NOT TRUE"
    return f"SELECT count(*) FROM {path.end.source} t WHERE {others}", *condition.arguments
