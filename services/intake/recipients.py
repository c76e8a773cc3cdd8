"""Recipients of the data (Art. 19): a row for each whom a request concerns, followed until they have said something.

The next digest of a recipient tells them (``recipient_digests``).
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from services.intake.request import disclosed
from services.intake.request.letter_kinds import LetterField, LetterKind, LetterOf, also
from services.intake.request.stored_request import StoredRequest
from shared.domain.policy import Policy, Recipient
from shared.domain.sentences import Sentence, listed, say
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.working_days import calendar
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


class NoticeState(StrEnum):
    """How far a recipient is told."""

    UNDERWAY = "underway"
    TOLD = "told"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"
    IMPOSSIBLE = "impossible"
    DISPROPORTIONATE = "disproportionate"


_SAY_WHAT_WAS_DONE: Final[frozenset[LetterKind]] = frozenset({"answer"})
_WAIVED = """
SELECT request_id, recipient, state FROM recipient_notice
WHERE request_id = ANY($1) AND settled_at IS NOT NULL AND state IN ('impossible', 'disproportionate')
"""
_READ = """
SELECT n.request_id, n.recipient, n.what, n.categories, n.state, n.concerned_at, n.digest_id, n.told_at,
       r.written_at AS reminded_at, n.settled_at
FROM recipient_notice n LEFT JOIN recipient_digest d USING (digest_id)
LEFT JOIN recipient_digest r ON r.digest_id = d.reminded_by WHERE n.request_id = $1 ORDER BY n.recipient
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one recipient is told of one request, and what they have said; ``told_at``: when they were told last."""

    request_id: UUID
    recipient: str
    what: disclosed.What
    categories: Sequence[str]
    state: NoticeState
    concerned_at: datetime
    digest_id: UUID | None
    told_at: datetime | None
    reminded_at: datetime | None
    settled_at: datetime | None

    def is_overdue(self, silent: datetime) -> bool:
        """Whether they are silent since a reminder before then, so that a person must ask them."""
        return self.state is NoticeState.TOLD and self.reminded_at is not None and self.reminded_at < silent


def silent_before(policy: Policy, limits: TimeLimitPolicy, now: datetime) -> datetime:
    """Who was told or reminded before then, and has said nothing, has been silent for too long; pure.

    By the working days of the time limit policy, where the staff works.
    """
    days = calendar(limits.commitment.staff_calendar)
    last = days.add_working_days(policy.today(now), -limits.recipients.silent_working_days)
    return datetime.combine(last + timedelta(days=1), time(), ZoneInfo(policy.controller.zone))


@dataclass
class Waivers:
    """Who is told nothing of requests that are at hand, and why: read once for all of them, when it is first needed."""

    request_ids: Collection[UUID]
    disclosed: disclosed.DisclosedOfAll
    _known: dict[UUID, dict[str, str]] | None = field(default=None, init=False)

    async def with_list(
        self, tx: UnitOfWork, request: StoredRequest, written: Sequence[LetterOf]
    ) -> Sequence[LetterOf]:
        """The letters, the one that says what was done with who is told of it, and who is not, and why.

        Whoever has not shown who they are is told nothing of that: it would tell who is a customer.
        """
        if request.anonymous or not any(kind in _SAY_WHAT_WAS_DONE for kind, _ in written):
            return written
        done = self.disclosed.of(request).done
        concerned = disclosed.recipients(tx.policy, done.categories) if done and not done.over else {}
        waived = await self._of(tx.connection, request.request_id) if concerned else {}
        said = [*_list(concerned, waived)]
        return [(kind, _with(fields, said) if kind in _SAY_WHAT_WAS_DONE else fields) for kind, fields in written]

    async def _of(self, connection: Connection, request_id: UUID) -> Mapping[str, str]:
        if self._known is None:
            self._known = {}
            for each, recipient, state in await connection.fetch(_WAIVED, list(self.request_ids)):
                self._known.setdefault(each, {})[recipient] = state
        return self._known.get(request_id, {})


def _list(concerned: Mapping[str, Recipient], waived: Mapping[str, str]) -> Iterator[Sentence]:
    """Who is told, and who is not; pure."""
    words = {None: "told", NoticeState.IMPOSSIBLE: "not_possible", NoticeState.DISPROPORTIONATE: "not_proportionate"}
    for how, key in words.items():
        named = [f"{each.name} ({each.country})" for name, each in concerned.items() if waived.get(name) == how]
        if named:
            yield say(f"recipient_notice.{key}", named=listed(named))


def _with(fields: Mapping[str, LetterField], said: Iterable[Sentence]) -> Mapping[str, LetterField]:
    for each in said:
        fields = also(fields, each)
    return fields


async def of_request(connection: Connection, request_id: UUID) -> list[Notice]:
    """Every recipient whom a request concerns."""
    rows = await connection.fetch(_READ, request_id)
    return [Notice(**{**row, "state": NoticeState(row["state"])}) for row in rows]


def address(recipient: Recipient) -> str:
    """Where a digest goes: by its channel, or by post with every way in which a person can reach them."""
    contact = recipient.contact
    if recipient.channel == "email" and contact.email:
        return f"{recipient.name} <{contact.email}>"
    return ", ".join((recipient.name, *contact.address, *filter(None, (contact.email, contact.phone))))
