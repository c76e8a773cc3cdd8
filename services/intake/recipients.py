"""Recipients are told of what was done (Art. 19): one notice each, followed until they have said something.

A notice is a letter of the request. Whom the policy gives a channel is told once the next server has accepted it, and
is a person's to tell if it comes back; any other a person tells at once, by the same words.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from services.intake.request import disclosed
from services.intake.request.aggregate import Request, Transition
from services.intake.request.causes.delivery import Told
from services.intake.request.letter_kinds import LetterField, LetterKind, LetterOf, also
from services.intake.request.stored_request import StoredRequest
from shared.domain.events import RecipientConcerned, RecipientSilent, RecipientTold
from shared.domain.policy import Recipient
from shared.domain.sentences import Sentence, listed, say
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection


class NoticeState(StrEnum):
    """How far a recipient is told."""

    UNDERWAY = "underway"
    TO_BE_TOLD = "to_be_told"
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
# Of a notice in whose place another one came, since more was done, nothing follows any more.
_ARRIVED = """
UPDATE recipient_notice
SET state = 'told', told_at = $5, overdue_at = NULL, waiver = NULL, explanation = NULL, proposed_by = NULL
WHERE request_id = $1 AND recipient = $2 AND what = $3 AND extent = $4 AND state IN ('underway', 'to_be_told')
RETURNING true
"""
_CAME_BACK = """
UPDATE recipient_notice SET state = 'to_be_told', told_at = NULL, concerned_at = $5
WHERE request_id = $1 AND recipient = $2 AND what = $3 AND extent = $4
    AND (state = 'underway' OR state = 'told' AND told_at = $6) RETURNING true
"""
_READ = """
SELECT request_id, recipient, what, categories, state, concerned_at, told_at, settled_at, reminders, overdue_at, waiver,
       explanation, proposed_by FROM recipient_notice
"""
# What waits for a person: whom nobody has told, who is silent for too long, what one person has proposed.
_FOR_A_PERSON = f"""
{_READ} WHERE settled_at IS NULL AND (state = 'to_be_told' OR overdue_at IS NOT NULL OR waiver IS NOT NULL)
ORDER BY concerned_at, request_id, recipient LIMIT $1
"""
_REMINDED = """
UPDATE recipient_notice SET reminders = reminders + 1 WHERE request_id = $1 AND recipient = $2 AND state = 'told'
RETURNING told_at
"""
_OVERDUE = """
UPDATE recipient_notice SET overdue_at = $3 WHERE request_id = $1 AND recipient = $2 AND settled_at IS NULL
RETURNING recipient
"""
COUNTED = """
SELECT CASE WHEN overdue_at IS NOT NULL THEN 'overdue' ELSE state END, count(*) FROM recipient_notice
WHERE settled_at IS NULL GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """What one recipient is told of one request, and what they have said."""

    request_id: UUID
    recipient: str
    what: disclosed.What
    categories: Sequence[str]
    state: NoticeState
    concerned_at: datetime
    told_at: datetime | None
    settled_at: datetime | None
    reminders: int
    overdue_at: datetime | None
    waiver: str | None
    explanation: UUID | None
    proposed_by: str | None


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


async def accepted(tx: UnitOfWork, request: Request, letter: Sequence[Told]) -> None:
    """A letter was accepted by the next server: whom it was to tell is told, unless a person has done so before."""
    for name, *notice in _named(letter):
        if await tx.connection.fetchval(_ARRIVED, request.request_id, name, *notice, tx.now):
            tx.publish(RecipientTold.about(request, recipient=name, told_at=tx.now))
            tx.log_evidence(request.request_id, "recipient.notice_sent", {"recipient": name})


async def not_reached(tx: UnitOfWork, request: Request, letter: Sequence[Told], sent_at: datetime | None) -> None:
    """A letter cannot go, or has come back: whom it was to tell a person tells, and their word is awaited no more.

    ``sent_at``: when it had been accepted: whom a person has told at another time stays told.
    """
    for name, *notice in _named(letter):
        if await tx.connection.fetchval(_CAME_BACK, request.request_id, name, *notice, tx.now, sent_at):
            tx.publish(RecipientConcerned.about(request, recipient=name, concerned_at=tx.now))
            tx.log_evidence(request.request_id, "recipient.notice_returned", {"recipient": name})


def _named(letter: Sequence[Told]) -> list[tuple[str, str, str]]:
    """Whom a letter tells, what was done, and of how much of the data."""
    told = (each for each in letter if each["what"] == "recipient")
    return [(str(each["recipient"]), str(each["done"]), str(each["extent"])) for each in told]


async def silent(tx: UnitOfWork, request: Request, event: RecipientSilent) -> Transition | None:
    """A recipient who has said nothing is written to again; after the last reminder people of ours look.

    None: they have said something meanwhile.
    """
    said: dict[str, JsonValue] = {"recipient": event.recipient, "working_days": event.working_days}
    if event.notice != "reminder":
        overdue = await tx.connection.fetchval(_OVERDUE, request.request_id, event.recipient, tx.now)
        action = "recipient.silent" if event.notice == "escalation" else "recipient.untold"
        return request.noted(action, **said) if overdue else None
    told_at = await tx.connection.fetchval(_REMINDED, request.request_id, event.recipient)
    recipient = tx.policy.recipients.get(event.recipient)
    if told_at is None or recipient is None:
        return None
    letter: LetterOf = ("recipient_reminder", {"to": address(recipient), "told_on": told_at})
    return replace(request.noted("recipient.reminded", **said), letters=(letter,))


async def of_request(connection: Connection, request_id: UUID) -> list[Notice]:
    """Every recipient whom a request concerns."""
    rows = await connection.fetch(f"{_READ} WHERE request_id = $1 ORDER BY recipient", request_id)
    return [_notice(*row) for row in rows]


async def for_a_person(connection: Connection, limit: int) -> list[Notice]:
    """What a person must see to, the longest waiting first."""
    return [_notice(*row) for row in await connection.fetch(_FOR_A_PERSON, limit)]


def address(recipient: Recipient) -> str:
    """Where a notice goes: by its channel, or every way in which a person can reach them."""
    contact = recipient.contact
    if recipient.channel == "email" and contact.email:
        return f"{recipient.name} <{contact.email}>"
    return ", ".join((recipient.name, *contact.address, *filter(None, (contact.email, contact.phone))))


def _notice(*row: object) -> Notice:
    request_id, recipient, what, categories, state, *more = row
    return Notice(request_id, recipient, what, categories, NoticeState(str(state)), *more)  # type: ignore[arg-type]
