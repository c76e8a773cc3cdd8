"""Samples of what came to support@: how many requests nobody had recognised; entered once a month, and corrected so."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.auth import Caller
from services.intake.errors import BadRequest
from services.intake.reviews.schemas import IntakeSample
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


@dataclass(frozen=True, slots=True)
class Sample:
    """What was found in one month, its first day; and who has entered that."""

    month: date
    sampled: int
    missed: int
    entered_by: str
    entered_at: datetime


_COLUMNS = ", ".join(each.name for each in fields(Sample))
_LIST = f"""
SELECT {_COLUMNS} FROM intake_sample WHERE $1::date IS NULL OR month < $1 ORDER BY month DESC LIMIT $2
"""  # noqa: S608  # names of ours
_ENTER = f"""
INSERT INTO intake_sample ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (month) DO UPDATE SET sampled = excluded.sampled, missed = excluded.missed,
    entered_by = excluded.entered_by, entered_at = excluded.entered_at
"""  # noqa: S608  # names of ours


async def enter(tx: UnitOfWork, said: IntakeSample, caller: Caller) -> Sample:
    """Enters the sample of a month, in the place of what was entered of it before.

    Raises:
        BadRequest: that month is still to come.
    """
    sample = Sample(date.fromisoformat(f"{said.month}-01"), said.sampled, said.missed, caller.holder, tx.now)
    if sample.month > tx.now.date():
        raise BadRequest("that month is still to come; name the one whose mail was looked through", "month")
    await tx.connection.execute(_ENTER, *(getattr(sample, each.name) for each in fields(Sample)))
    detail: dict[str, JsonValue] = {"month": said.month, "sampled": said.sampled, "missed": said.missed}
    tx.log_evidence(uuid7(), "intake.sampled", detail, caller.actor)
    return sample


async def listed(connection: Connection, limit: int, before: date | None = None) -> Sequence[Sample]:
    """The latest first: those of the months before that one, or the last."""
    return [Sample(*row) for row in await connection.fetch(_LIST, before, limit)]
