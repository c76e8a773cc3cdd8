"""Stores legal holds: intake places and lifts them, and services check them before they erase."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import TypeVar
from uuid import UUID

from shared.domain.holds import Hold, HoldMarks
from shared.storage.postgres import Connection

Key = TypeVar("Key")

_ANY = "SELECT EXISTS (SELECT FROM vault.hold_mark)"
_MATCHING = """
SELECT h.hold_id, h.categories, m.type, m.mark FROM vault.legal_hold h JOIN vault.hold_mark m USING (hold_id)
WHERE h.lifted_at IS NULL AND h.hold_id IN (SELECT hold_id FROM vault.hold_mark WHERE mark = ANY($1))
ORDER BY h.hold_id
"""
_MARK = """
INSERT INTO vault.hold_mark (hold_id, type, mark) SELECT $1, * FROM unnest($2::text[], $3::bytea[])
ON CONFLICT DO NOTHING
"""
_KEPT = """
INSERT INTO vault.hold_kept (task_id, hold_id, request_id, system)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[]) ON CONFLICT DO NOTHING
"""
_FORGET = """
DELETE FROM vault.hold_kept k USING vault.legal_hold h
WHERE k.request_id = ANY($1) AND h.hold_id = k.hold_id AND h.lifted_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A hold; the vault stores its subject under the same id."""

    hold_id: UUID
    case_number: str
    owner: str
    reason: str
    categories: Sequence[str]
    placed_at: datetime
    review_on: date
    lifted_at: datetime | None = None
    lifted_by: Sequence[str] = ()


_COLUMNS = ", ".join(each.name for each in fields(LegalHold))


async def retained_of(connection: Connection, request_id: UUID) -> list[LegalHold]:
    """Returns the holds that kept data of a request."""
    query = (
        f"SELECT {_COLUMNS} FROM vault.legal_hold WHERE hold_id IN"  # noqa: S608  # constants
        " (SELECT hold_id FROM vault.hold_kept WHERE request_id = $1) ORDER BY placed_at"
    )
    return [LegalHold(*row) for row in await connection.fetch(query, request_id)]


async def exist(connection: Connection) -> bool:
    """Returns whether any hold is in force."""
    return bool(await connection.fetchval(_ANY))


async def matching(connection: Connection, known: Mapping[Key, HoldMarks]) -> dict[Key, Hold]:
    """Returns the holds and their categories by subject, for those under a hold."""
    if not known:
        return {}
    marks = {mark for each in known.values() for _, mark in each.rows}
    rows: defaultdict[UUID, list[tuple[str, bytes]]] = defaultdict(list)
    categories: dict[UUID, frozenset[str]] = {}
    for hold_id, held, kind, mark in await connection.fetch(_MATCHING, list(marks)):
        rows[hold_id].append((kind, mark))
        categories[hold_id] = frozenset(held)
    people = {hold_id: HoldMarks(frozenset(each)) for hold_id, each in rows.items()}
    found = {key: [hold_id for hold_id, who in people.items() if who.concerns(theirs)] for key, theirs in known.items()}
    return {
        key: Hold(
            tuple(ids),
            frozenset(each for hold_id in ids for each in categories[hold_id]),
            everything=any(not categories[hold_id] for hold_id in ids),
        )
        for key, ids in found.items()
        if ids
    }


async def place(connection: Connection, hold: LegalHold, who: HoldMarks) -> None:
    """Places a hold on subjects with one of these marks."""
    await connection.execute(
        "INSERT INTO vault.legal_hold (hold_id, case_number, owner, reason, categories, placed_at, review_on)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        *(hold.hold_id, hold.case_number, hold.owner, hold.reason, list(hold.categories)),
        *(hold.placed_at, hold.review_on),
    )
    await connection.execute(_MARK, hold.hold_id, *map(list, zip(*sorted(who.rows), strict=True)))


async def read(connection: Connection, hold_id: UUID) -> LegalHold | None:
    """Returns a hold by its id, or None."""
    query = f"SELECT {_COLUMNS} FROM vault.legal_hold WHERE hold_id = $1"  # noqa: S608
    row = await connection.fetchrow(query, hold_id)
    return LegalHold(**row) if row else None


async def in_force(connection: Connection) -> list[LegalHold]:
    """Returns the holds in force, the next review first."""
    query = f"SELECT {_COLUMNS} FROM vault.legal_hold WHERE lifted_at IS NULL ORDER BY review_on, hold_id"  # noqa: S608
    return [LegalHold(**row) for row in await connection.fetch(query)]


async def review(connection: Connection, hold_id: UUID, review_on: date) -> None:
    """Sets the next review of a hold."""
    query = "UPDATE vault.legal_hold SET review_on = $2 WHERE hold_id = $1"
    await connection.execute(query, hold_id, review_on)


async def lift(connection: Connection, hold_id: UUID, holders: Sequence[str], now: datetime) -> None:
    """Lifts a hold and deletes its marks."""
    query = "UPDATE vault.legal_hold SET lifted_at = $2, lifted_by = $3 WHERE hold_id = $1"
    await connection.execute(query, hold_id, now, list(holders))
    await connection.execute("DELETE FROM vault.hold_mark WHERE hold_id = $1", hold_id)
    await connection.execute("DELETE FROM vault.subject WHERE subject_ref = $1", hold_id)


async def record_retained(connection: Connection, kept: Sequence[tuple[UUID, UUID, str, Sequence[UUID]]]) -> None:
    """Records which holds kept the data of a task."""
    rows = [(task, hold, request, system) for task, request, system, ids in kept for hold in ids]
    if rows:
        await connection.execute(_KEPT, *map(list, zip(*rows, strict=True)))


async def forget_retained(connection: Connection, requests: Collection[UUID]) -> None:
    """Deletes the record of kept data, since they are erased again."""
    await connection.execute(_FORGET, list(requests))
