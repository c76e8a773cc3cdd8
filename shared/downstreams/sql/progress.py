"""What a store remembers of our own work: a row beside the data, written in the transaction of the change itself.

The row of a request says whose turn it is (a token that only grows) and what that task has removed or changed so far.
So a worker that slept past its lease changes nothing any more, and the counts are those of what was committed, whether
the store was killed, failed over or restored as a whole: both are there, or neither is. Whatever was replaced of it
makes it another store (``incarnation.py``), in which nothing is noted by whoever has begun before.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import orjson
from asyncpg.pool import PoolConnectionProxy

from shared.domain.errors import Overtaken
from shared.downstreams.contract import Task
from shared.downstreams.sql.store import Session

_NOTE = """
INSERT INTO dsr_platform.progress AS p (request_id, system, task_id, token, counts)
SELECT request_id, $1, task_id, ARRAY[opened, stage, attempt], counts
FROM unnest($2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[], $6::bigint[], $7::jsonb[])
     AS n (request_id, task_id, opened, stage, attempt, counts)
WHERE (SELECT id FROM dsr_platform.incarnation) = $8
ORDER BY request_id
ON CONFLICT (request_id, system) DO UPDATE
SET task_id = excluded.task_id, token = excluded.token, noted_at = excluded.noted_at,
    counts = CASE WHEN p.task_id = excluded.task_id THEN {together} ELSE excluded.counts END
WHERE p.token <= excluded.token
RETURNING p.task_id, p.counts
"""
_SUM = """CASE WHEN excluded.counts = '{}' THEN p.counts WHEN p.counts = '{}' THEN excluded.counts ELSE (
    SELECT jsonb_object_agg(category, n)
    FROM (SELECT category, sum(n::bigint) AS n
          FROM (SELECT * FROM jsonb_each_text(p.counts) UNION ALL SELECT * FROM jsonb_each_text(excluded.counts))
               AS each (category, n)
          GROUP BY category) AS total) END"""
_FIRST = "CASE WHEN p.counts = '{}' THEN excluded.counts ELSE p.counts END"
_FORGET = "DELETE FROM dsr_platform.progress WHERE system = $1 AND noted_at < now() - $2::interval"
_REDUCED = "reduced:"
KEEP_FOR = timedelta(days=400)
"""Longer than a task is tried again without anything being noted of it."""
_ADD, _KEEP = _NOTE.format(together=_SUM), _NOTE.format(together=_FIRST)


async def add(session: Session, tasks: Sequence[Task], removed: Sequence[Counter[str]]) -> dict[UUID, Counter[str]]:
    """Notes in this transaction what it has removed of each task; all that was removed of each so far, by category.

    A task that is missing from the result was overtaken: then the transaction must not commit.
    """
    noted = await _note(session, _ADD, tasks, removed)
    return {
        task_id: Counter({k: n for k, n in of.items() if not k.startswith(_REDUCED)}) for task_id, of in noted.items()
    }


async def add_reduced(
    session: Session, tasks: Sequence[Task], reduced: Sequence[Counter[str]]
) -> dict[UUID, Counter[str]]:
    """The same of what was left of rows that are kept: which had more before, by category."""
    counts = [Counter({f"{_REDUCED}{category}": n for category, n in each.items()}) for each in reduced]
    noted = await _note(session, _ADD, tasks, counts)
    start = len(_REDUCED)
    return {t: Counter({k[start:]: n for k, n in of.items() if k.startswith(_REDUCED)}) for t, of in noted.items()}


async def keep(session: Session, task: Task, changed: Counter[str]) -> Counter[str]:
    """Notes in this transaction what it has changed; what the first attempt that changed anything counted.

    Raises:
        Overtaken: the transaction must not commit.
    """
    noted = await _note(session, _KEEP, [task], [changed])
    if task.task_id not in noted:
        raise overtaken(session.system)
    return noted[task.task_id]


def overtaken(system: str) -> Overtaken:
    """What became of a task that is no longer at its turn, or whose store was replaced under its hands."""
    return Overtaken(f"{system}: a later attempt or operation of this request has been here, or it was restored")


async def forget(connection: PoolConnectionProxy, system: str) -> None:
    """Forgets the requests of which nothing was noted for so long that no worker can still be asleep over them."""
    await connection.execute(_FORGET, system, KEEP_FOR)


async def _note(
    session: Session, statement: str, tasks: Sequence[Task], counts: Sequence[Counter[str]]
) -> dict[UUID, Counter[str]]:
    rows = await session.connection.fetch(
        statement,
        session.system,
        [task.request_id for task in tasks],
        [task.task_id for task in tasks],
        *([task.token[part] for task in tasks] for part in range(3)),
        [orjson.dumps({category: n for category, n in each.items() if n}).decode() for each in counts],
        session.incarnation and session.incarnation.id,
    )
    return {row[0]: Counter(orjson.loads(row[1])) for row in rows}
