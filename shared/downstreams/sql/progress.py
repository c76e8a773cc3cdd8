"""What an erasure remembers of itself: rows removed so far, and the transaction whose outcome was not known yet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from asyncpg.pool import PoolConnectionProxy
from pydantic import JsonValue

from shared.downstreams.contract import Task

_OUTCOMES = """
SELECT xid, CASE WHEN xid::xid8 < pg_snapshot_xmax(pg_current_snapshot())
            THEN coalesce(pg_xact_status(xid::xid8), 'committed') ELSE 'aborted' END
FROM unnest($1::text[]) xid
"""
"""A transaction too old for PostgreSQL to know has long been settled; one it never gave out was lost with a crash."""


def noted(done: Counter[str], pending: Counter[str], xid: str) -> Mapping[str, JsonValue]:
    """What must be known if this process ends between the commit and the receipt."""
    return {"erased": dict(done), "pending": dict(pending), "xid": xid}


async def resume(connection: PoolConnectionProxy, tasks: Sequence[Task]) -> dict[UUID, Counter[str]]:
    """Rows by category that earlier attempts removed; a task is missing while an attempt is still under way."""
    xids = {str(task.progress["xid"]) for task in tasks if "xid" in task.progress}
    rows = await connection.fetch(_OUTCOMES, sorted(xids)) if xids else []
    outcomes: dict[str, str] = {row[0]: row[1] for row in rows}
    done: dict[UUID, Counter[str]] = {}
    for task in tasks:
        erased = counter(task.progress.get("erased"))
        match outcomes.get(str(task.progress.get("xid")), "aborted"):
            case "committed":
                done[task.task_id] = erased + counter(task.progress.get("pending"))
            case "aborted":
                done[task.task_id] = erased
            case _:
                continue
    return done


def counter(value: JsonValue) -> Counter[str]:
    """Rows by category as they were noted; none where nothing was."""
    noted = value if isinstance(value, dict) else {}
    return Counter({category: rows for category, rows in noted.items() if isinstance(rows, int)})
