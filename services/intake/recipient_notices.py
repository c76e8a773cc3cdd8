"""The notices by which recipients are told of what was done (Art. 19): whom it concerns, and how much of which data."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from services.intake.recipients import NoticeState, address
from services.intake.request import disclosed, other_restrictions
from services.intake.request.causes.delivery import Told
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.stored_request import StoredRequest
from shared.domain.events import RecipientConcerned
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import NOTHING
from shared.domain.policy import Recipient
from shared.domain.sentences import Lines, Sentence, Term, say
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData

_WHAT: Final[Mapping[disclosed.What, str]] = {
    "corrected": "recipient_notice.corrected",
    "stated": "recipient_notice.stated",
    "erased": "recipient_notice.erased",
    "restricted": "recipient_notice.restricted",
    "lifted": "recipient_notice.lifted",
    "stopped": "recipient_notice.stopped",
}
# Of a later part of the answer whoever was told of other data, or of less of them, is told again.
_CONCERN = """
INSERT INTO recipient_notice AS n (request_id, recipient, what, categories, state, concerned_at, told_at, extent)
SELECT c.request_id, c.recipient, c.what, c.categories, c.state, $2, NULL, c.extent
FROM jsonb_to_recordset($1::jsonb)
     AS c (request_id uuid, recipient text, what text, categories text[], state text, extent text, told boolean)
WHERE NOT c.told
    OR EXISTS (SELECT FROM recipient_notice b WHERE b.request_id = c.request_id AND b.recipient = c.recipient)
ON CONFLICT (request_id, recipient) DO UPDATE
SET what = excluded.what, state = excluded.state, concerned_at = excluded.concerned_at, told_at = excluded.told_at,
    settled_at = NULL, reminders = 0, overdue_at = NULL, waiver = NULL, explanation = NULL, proposed_by = NULL,
    approved_by = NULL, extent = excluded.extent,
    categories = CASE excluded.what WHEN 'lifted' THEN excluded.categories ELSE
        (SELECT array_agg(DISTINCT c ORDER BY c) FROM unnest(n.categories || excluded.categories) AS c) END
WHERE NOT n.categories @> excluded.categories OR n.what <> excluded.what
    OR n.extent <> excluded.extent AND excluded.what <> 'lifted'
RETURNING request_id, recipient
"""


@dataclass(frozen=True, slots=True)
class _Concern:
    """A recipient whom what was done of a request concerns."""

    request: StoredRequest
    name: str
    recipient: Recipient
    done: disclosed.Done
    extent: Sequence[tuple[str, disclosed.Extent | None]]

    @property
    def row(self) -> Mapping[str, object]:
        """As it is kept."""
        return {
            "request_id": str(self.request.request_id),
            "recipient": self.name,
            "what": self.done.what,
            "categories": sorted(self.done.categories & self.recipient.categories),
            "state": NoticeState.UNDERWAY if self.recipient.channel else NoticeState.TO_BE_TOLD,
            "extent": repr(self.extent),
            "told": self.done.over or self.done.what == "lifted",
        }

    def told(self) -> list[Told]:
        """What is said once their notice was accepted, where it goes by itself: that they were told."""
        what: Told = {"what": "recipient", "recipient": self.name, "done": self.done.what, "extent": repr(self.extent)}
        return [what] if self.recipient.channel else []


async def inform(
    tx: UnitOfWork,
    every: Collection[disclosed.Disclosed],
    held: Mapping[UUID, StoredRequest],
    read: other_restrictions.Read,
) -> list[tuple[StoredRequest, LetterOf, list[Told]]]:
    """The notices that are to be written of requests which were answered, or of which more was done since.

    Each with what is said once it was accepted: that they were told. Who was told of it before is not told again. That
    a restriction is lifted is told once nothing of the same person restricts the data any more, then of all that were.
    """
    beside = await other_restrictions.beside(tx.connection, [each.request for each in every], held, read)
    lifted = (disclosed.Disclosed(each, tx.policy) for each in beside.lifted)
    concerns = [concern for each in (*every, *lifted) for concern in _concerns(each, beside.requests)]
    if not concerns:
        return []
    rows = [each.row for each in concerns]
    new = {(row[0], row[1]) for row in await tx.connection.fetch(_CONCERN, rows, tx.now)}
    concerns = [each for each in concerns if (each.request.request_id, each.name) in new]
    known = await tx.vault.subject_data(tx.connection, {each.request.subject_ref for each in concerns})
    letters: list[tuple[StoredRequest, LetterOf, list[Told]]] = []
    for each in concerns:
        request, recipient, done = each.request, each.recipient, each.done
        tx.publish(RecipientConcerned.about(request, recipient=each.name, concerned_at=tx.now))
        action = "recipient.notice_written" if recipient.channel else "recipient.notice_owed"
        tx.log_evidence(request.request_id, action, {"recipient": each.name, "what": done.what})
        subject = _told_of(request, known.get(request.subject_ref, SubjectData()))
        letters.append((request, ("recipient_notice", _fields(recipient, done, each.extent, subject)), each.told()))
    return letters


def _concerns(told: disclosed.Disclosed, beside: Mapping[UUID, Sequence[StoredRequest]]) -> Iterator[_Concern]:
    request, done = told.request, told.done
    if done and done.what == "lifted":
        others = (disclosed.restricted(each, told.policy) for each in beside.get(request.request_id, ()))
        done = replace(done, categories=done.categories.difference(*others))
    concerned = disclosed.recipients(told.policy, done.categories) if done else {}
    if not done or not concerned:
        return
    extents = told.extents if done.what == "erased" else {}
    for name, recipient in concerned.items():
        theirs = done.categories & recipient.categories
        if all((each := extents.get(one)) and each.held and not (each.gone or each.reduced) for one in theirs):
            yield _Concern(request, name, recipient, replace(done, what="restricted"), _extent(theirs, {}))
        else:
            yield _Concern(request, name, recipient, done, _extent(theirs, extents))


def _extent(
    categories: Iterable[str], extents: Mapping[str, disclosed.Extent]
) -> Sequence[tuple[str, disclosed.Extent | None]]:
    return tuple((each, extents.get(each)) for each in sorted(categories))


def _fields(
    recipient: Recipient,
    done: disclosed.Done,
    extent: Sequence[tuple[str, disclosed.Extent | None]],
    subject: SubjectData,
) -> Mapping[str, LetterField]:
    person = tuple(_person(each for each in subject.identities if each.type in recipient.identified_by))
    unknown = say("recipient_notice.not_known" if subject.identities else "recipient_notice.of_before")
    return {
        "to": address(recipient),
        "what": say(_WHAT[done.what]),
        "extent": Lines(tuple(_how_much(name, each) for name, each in extent)),
        "person": Lines(person or (unknown,)),
        "changes": Lines(tuple(_line(c.field, c.asserted) for c in subject.changes if c.record is None)),
    }


def _how_much(name: str, extent: disclosed.Extent | None) -> Sentence:
    """What was done of a category: to all of it, to a part, or to what is kept."""
    category = Term("category", name)
    if extent is None:
        return say("recipient_notice.some_of_it", category=category)
    if not extent.kept:
        return say("recipient_notice.all_of_it", category=category)
    rest = "reduced" if extent.reduced else "held" if extent.held else "kept"
    part = f"recipient_notice.part_{rest}" if extent.gone else f"recipient_notice.all_{rest}"
    until = (say("recipient_notice.until", until=extent.last),) if extent.last else ()
    return say("recipient_notice.with_day", said=(say(part, category=category), *until))


def _told_of(request: StoredRequest, subject: SubjectData) -> SubjectData:
    """By what they may be told of: of whoever has proved nothing only by what they have stated themselves."""
    if not request.anonymous:
        return subject
    return replace(subject, identities=tuple(each for each in subject.identities if each.source == "requester"))


def _person(identities: Iterable[Identity]) -> Iterator[Sentence]:
    """By what the recipient can find them: what is proved and their name, or all that was stated where nothing is."""
    known = list(identities)
    proved = [each for each in known if each.level > NOTHING and not each.shared]
    named = [each for each in known if each.type is IdentityType.NAME]
    for kind, value in dict.fromkeys((each.type, each.value) for each in ([*proved, *named] if proved else known)):
        yield _line(Term("known_by", kind), value)


def _line(what: str | Term, value: str) -> Sentence:
    return say("recipient_notice.line", what=what, value=value)
