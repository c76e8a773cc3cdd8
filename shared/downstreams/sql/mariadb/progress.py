"""What a MariaDB remembers of our own work: a row beside the data, written in the transaction of the change itself.

It is the row of ``shared.downstreams.sql.progress``, with the same meaning; the token is compared under its lock.
"""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import orjson

from shared.downstreams.contract import Task
from shared.downstreams.sql.mariadb.connection import Connection
from shared.downstreams.sql.mariadb.store import Session
from shared.downstreams.sql.progress import KEEP_FOR, overtaken

_PUT = """
INSERT IGNORE INTO dsr_platform.progress (request_id, system, task_id, opened, stage, attempt, counts)
SELECT ?, ?, ?, ?, ?, ?, '{}' FROM dsr_platform.incarnation WHERE id = ?
"""
_LOOK = """
SELECT task_id, opened, stage, attempt, counts FROM dsr_platform.progress
WHERE request_id = ? AND system = ? FOR UPDATE
"""
_SAME = "SELECT id FROM dsr_platform.incarnation"
_NOTE = """
UPDATE dsr_platform.progress
SET task_id = ?, opened = ?, stage = ?, attempt = ?, counts = ?, noted_at = CURRENT_TIMESTAMP(6)
WHERE request_id = ? AND system = ?
"""
_FORGET = "DELETE FROM dsr_platform.progress WHERE system = ? AND noted_at < CURRENT_TIMESTAMP(6) - INTERVAL ? SECOND"


async def add(session: Session, task: Task, removed: Counter[str]) -> Counter[str]:
    """Notes in this transaction what it has removed; all that was removed so far, by category.

    Raises:
        Overtaken: the transaction must not commit.
    """
    return await _note(session, task, lambda before: before + removed)


async def keep(session: Session, task: Task, changed: Counter[str]) -> Counter[str]:
    """Notes in this transaction what it has changed; what the first attempt that changed anything counted.

    Raises:
        Overtaken: the transaction must not commit.
    """
    return await _note(session, task, lambda before: before or +changed)


async def forget(connection: Connection, system: str) -> None:
    """Forgets the requests of which nothing was noted for so long that no worker can still be asleep over them."""
    await connection.execute(_FORGET, system, KEEP_FOR // timedelta(seconds=1))


async def _note(session: Session, task: Task, together: Callable[[Counter[str]], Counter[str]]) -> Counter[str]:
    connection, request, token = session.connection, str(task.request_id), task.token
    incarnation = str(session.incarnation and session.incarnation.id)
    await connection.execute(_PUT, request, session.system, str(task.task_id), *token, incarnation)
    found = await connection.fetch(_LOOK, request, session.system)
    if not found or tuple(found[0][1:4]) > token or await connection.value(_SAME) != incarnation:
        raise overtaken(session.system)
    before = Counter[str](orjson.loads(found[0][4])) if found[0][0] == str(task.task_id) else Counter[str]()
    counts = together(before)
    await connection.execute(_NOTE, str(task.task_id), *token, orjson.dumps(counts).decode(), request, session.system)
    return counts
