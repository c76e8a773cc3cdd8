"""Recipients of the data (Art. 19): a row for each whom a request concerns, followed until they have said something.

The next digest of a recipient tells them (``recipient_digests``).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from pydantic import JsonValue

from services.intake.request import disclosed, other_restrictions
from services.intake.request.letter_kinds import LetterKind, LetterOf, add_sentence
from services.intake.request.stored_request import StoredRequest
from shared.domain.identities import IdentityType
from shared.domain.policy import Policy, Recipient
from shared.domain.rights import NOTHING
from shared.domain.sentences import fact_list, say
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.domain.working_days import calendar
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Sealing


class NoticeState(StrEnum):
    """The progress of a notice to a recipient."""

    UNDERWAY = "underway"
    NOTIFIED = "notified"
    ACKNOWLEDGED = "acknowledged"
    DONE = "done"


_SAY_WHAT_WAS_DONE: Final[frozenset[LetterKind]] = frozenset({"answer"})
_READ = """
SELECT n.request_id, n.recipient, n.what, n.categories, n.state, n.concerned_at, n.digest_id, n.notified_at,
       r.written_at AS reminded_at, n.settled_at
FROM recipient_notice n LEFT JOIN recipient_digest d USING (digest_id)
LEFT JOIN recipient_digest r ON r.digest_id = d.reminded_by WHERE n.request_id = $1 ORDER BY n.recipient
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """The notice to one recipient about one request, and their reply; ``notified_at``: when they were notified last."""

    request_id: UUID
    recipient: str
    what: disclosed.What
    categories: Sequence[str]
    state: NoticeState
    concerned_at: datetime
    digest_id: UUID | None
    notified_at: datetime | None
    reminded_at: datetime | None
    settled_at: datetime | None

    def shown(self, policy: Policy) -> dict[str, object]:
        """The notice with what the policy says of the recipient, and the categories in words."""
        known = policy.recipients.get(self.recipient)
        about = {"role": known.role, "country": known.country} if known else {"role": None, "country": None}
        categories = disclosed.category_words(policy, self.categories)
        return asdict(self) | about | {"name": known.name if known else self.recipient, "categories": categories}

    def is_overdue(self, silent: datetime) -> bool:
        """Whether they are silent since a reminder before then, so that a person must ask them."""
        return self.state is NoticeState.NOTIFIED and self.reminded_at is not None and self.reminded_at < silent


def overdue_before(policy: Policy, limits: TimeLimitPolicy, now: datetime) -> datetime:
    """Returns the time before which a notice or reminder without a reply has been unanswered for too long; pure.

    By the working days of the time limit policy, where the staff works.
    """
    days = calendar(limits.commitment.staff_calendar)
    last = days.add_working_days(policy.today(now), -limits.recipients.silent_working_days)
    return datetime.combine(last + timedelta(days=1), time(), ZoneInfo(policy.controller.zone))


def add_recipient_list(
    policy: Policy, known: disclosed.DisclosedOfAll, request: StoredRequest, written: Sequence[LetterOf]
) -> Sequence[LetterOf]:
    """Adds to the letter that says what was done which recipients are notified of it; pure.

    A requester who has not proved who they are reads nothing of that: it would show who is a customer.
    """
    if request.anonymous or not any(kind in _SAY_WHAT_WAS_DONE for kind, _ in written):
        return written
    done = known.of(request).done
    concerned = disclosed.recipients(policy, done.categories) if done and not done.over else {}
    if not concerned:
        return written
    said = say(
        "recipient_notice.recipients", named=fact_list([f"{each.name} ({each.country})" for each in concerned.values()])
    )
    return [(kind, add_sentence(fields, said) if kind in _SAY_WHAT_WAS_DONE else fields) for kind, fields in written]


async def of_request(connection: Connection, request_id: UUID) -> list[Notice]:
    """Returns the notices of a request, by recipient."""
    rows = await connection.fetch(_READ, request_id)
    return [Notice(**{**row, "state": NoticeState(row["state"])}) for row in rows]


def digest_address(recipient: Recipient) -> str:
    """Returns the address of a recipient's digest: e-mail, or all contact lines for post."""
    contact = recipient.contact
    if recipient.channel == "email" and contact.email:
        return f"{recipient.name} <{contact.email}>"
    return ", ".join((recipient.name, *contact.address, *filter(None, (contact.email, contact.phone))))


SEALED_AS: Final = "recipients"
"""The kind of what digests need of a person, under the key of the request, which an erasure leaves."""
# A later part of the answer notifies again those whom it newly concerns, or who were notified of less. The end of a
# restriction (``ends``) goes only to those who were notified of the restriction, or are being notified.
_CONCERN = """
WITH c AS (
    SELECT * FROM jsonb_to_recordset($1::jsonb)
        AS c (request_id uuid, recipient text, what text, categories text[], extent jsonb, ends boolean)
), unsaid AS (
    DELETE FROM recipient_notice n USING c WHERE c.ends AND (n.request_id, n.recipient) = (c.request_id, c.recipient)
        AND n.notified_at IS NULL AND n.digest_id IS NULL
)
INSERT INTO recipient_notice AS n (request_id, recipient, what, categories, extent, state, concerned_at)
SELECT c.request_id, c.recipient, c.what, c.categories, c.extent, 'underway', $2 FROM c
WHERE NOT c.ends OR EXISTS (
    SELECT FROM recipient_notice b WHERE (b.request_id, b.recipient) = (c.request_id, c.recipient)
        AND (b.notified_at IS NOT NULL OR b.digest_id IS NOT NULL))
ORDER BY c.request_id, c.recipient
ON CONFLICT (request_id, recipient) DO UPDATE
SET what = excluded.what, state = excluded.state, concerned_at = excluded.concerned_at, extent = excluded.extent,
    digest_id = NULL, settled_at = NULL,
    categories = CASE excluded.what WHEN 'lifted' THEN excluded.categories ELSE
        (SELECT array_agg(DISTINCT c ORDER BY c) FROM unnest(n.categories || excluded.categories) AS c) END
WHERE NOT n.categories @> excluded.categories OR n.what <> excluded.what
    OR n.extent <> excluded.extent AND excluded.what <> 'lifted'
RETURNING request_id, recipient, what
"""


@dataclass(frozen=True, slots=True)
class _Concern:
    """A recipient whom what was done of a request concerns."""

    request: StoredRequest
    name: str
    recipient: Recipient
    done: disclosed.CompletedChange
    extent: Mapping[str, disclosed.DisclosedExtent | None]

    @property
    def row(self) -> Mapping[str, object]:
        """Returns its row."""
        return {
            "request_id": str(self.request.request_id),
            "recipient": self.name,
            "what": self.done.what,
            "categories": sorted(self.extent),
            "extent": self.extent,
            "ends": self.done.over or self.done.what == "lifted",
        }


async def record_recipients(
    tx: UnitOfWork,
    every: Collection[disclosed.Disclosed],
    locked: Mapping[UUID, StoredRequest],
    read: other_restrictions.Read,
) -> list[Sealing]:
    """Records which recipients to notify of requests that were answered, or of which more was done since.

    Returns what is to be sealed of them.

    A recipient is notified once of the same thing. A lift is reported once nothing of the same person restricts the
    data any more, then for all restrictions.
    """
    related = await other_restrictions.related(tx.connection, [each.request for each in every], locked, read)
    lifted = (disclosed.Disclosed(each, tx.policy) for each in related.lifted)
    concerns = [concern for each in (*every, *lifted) for concern in _concerns(each, related.requests)]
    if not concerns:
        return []
    new = defaultdict[UUID, dict[str, JsonValue]](dict)
    for request_id, recipient, what in await tx.connection.fetch(_CONCERN, [each.row for each in concerns], tx.now):
        new[request_id][recipient] = what
    known_by = defaultdict[UUID, set[IdentityType]](set)
    for each in concerns:
        known_by[each.request.request_id] |= each.recipient.identified_by
    concerned = {each.request.request_id: each.request for each in concerns if each.request.request_id in new}
    subjects = await tx.vault.subject_data(tx.connection, {each.subject_ref for each in concerned.values()})
    sealings = []
    for request_id, request in concerned.items():
        tx.log_evidence(request_id, "recipients.concerned", {"recipients": new[request_id]})
        if subject := subjects.get(request.subject_ref):
            facts = _facts(request, subject, known_by[request_id])
            sealings.append(Sealing(request_id, SEALED_AS, "", orjson.dumps(facts)))
    return sealings


def _concerns(known: disclosed.Disclosed, related: Mapping[UUID, Sequence[StoredRequest]]) -> Iterator[_Concern]:
    request, done = known.request, known.done
    if done and done.what == "lifted":
        others = (disclosed.restricted(each, known.policy) for each in related.get(request.request_id, ()))
        done = replace(done, categories=done.categories.difference(*others))
    concerned = disclosed.recipients(known.policy, done.categories) if done else {}
    if not done or not concerned:
        return
    extents = known.extents if done.what == "erased" else {}
    for name, recipient in concerned.items():
        categories = done.categories & recipient.categories
        if all((each := extents.get(one)) and each.held and not (each.gone or each.reduced) for one in categories):
            yield _Concern(request, name, recipient, replace(done, what="restricted"), _extent(categories, {}))
        else:
            yield _Concern(request, name, recipient, done, _extent(categories, extents))


def _extent(
    categories: Iterable[str], extents: Mapping[str, disclosed.DisclosedExtent]
) -> Mapping[str, disclosed.DisclosedExtent | None]:
    return {each: extents.get(each) for each in categories}


def _facts(
    request: StoredRequest, subject: SubjectData, types: Collection[IdentityType]
) -> Mapping[str, Collection[object]]:
    """Returns identities that recipients may get, each with its proof, and the correct values of today.

    Of a requester who has proved nothing, only what they have stated.
    """
    stated = [each for each in subject.identities if not request.anonymous or each.source == "requester"]
    return {
        "identities": [
            (each.type, each.value, each.level > NOTHING and not each.shared) for each in stated if each.type in types
        ],
        "changes": [(each.field, each.asserted) for each in subject.changes if each.record is None],
    }
