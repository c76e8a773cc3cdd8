"""Writes about corrections: to the requester which fields, to an old contact point that it was replaced."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from services.intake.request.letter_kinds import LetterOf
from services.intake.request.stored_request import StoredRequest
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Change, Operation
from shared.domain.rights import NOTHING, Right
from shared.domain.sentences import FactList, Sentence, Term, say
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData

_CONTACT_FIELDS: Mapping[str, IdentityType] = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
"""Fields of a rectification that are contact points."""


def made_correction(request: StoredRequest) -> bool:
    """Returns whether we, and not a customer, must confirm a correction that was made."""
    corrected = any(task.operation == Operation.RECTIFY and task.changed for task in request.tasks or ())
    return request.right is Right.RECTIFICATION and request.tenant is None and corrected


async def old_contact_letters(
    tx: UnitOfWork, corrected: Sequence[StoredRequest]
) -> list[tuple[StoredRequest, LetterOf]]:
    """Returns the letters to old contact points after corrections, all read together."""
    if not corrected:
        return []
    known = await tx.vault.subject_data(tx.connection, [request.subject_ref for request in corrected])
    return [
        (request, ("old_contact", {"to": point, "changed_on": tx.now}))
        for request in corrected
        for point in old_points(known.get(request.subject_ref, SubjectData()), tx.now)
    ]


async def corrected_fields(tx: UnitOfWork, request: StoredRequest, written: Sequence[LetterOf]) -> tuple[Sentence, ...]:
    """Returns the fields of a rectification in their order, without values."""
    if request.right is not Right.RECTIFICATION or request.tenant or not any(kind == "answer" for kind, _ in written):
        return ()
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref, SubjectData())
    fields = tuple(Term("portal_field", change.field.replace(".", "_")) for change in known.changes)
    return (say("closing.to_correct", fields=FactList(fields)),) if fields else ()


def old_points(known: SubjectData, now: datetime) -> list[str]:
    """Returns the contact points that were replaced, each once; pure.

    Where the requester did not say which, all of that kind that are proved to be the subject's now: a number that was
    theirs once may belong to a different person.
    """
    return list(dict.fromkeys(point for change in known.changes for point in _replaced(change, known.identities, now)))


def _replaced(change: Change, identities: Sequence[Identity], now: datetime) -> Iterator[str]:
    kind = _CONTACT_FIELDS.get(change.field)
    if kind is None or change.record:
        return
    proved = [each for each in identities if each.type is kind and each.level > NOTHING]
    current = [each.value for each in proved if not each.valid_to or each.valid_to > now]
    stated = [_normalised(kind, change.current)] if change.current else current
    yield from (point for point in stated if point != _normalised(kind, change.asserted))


def _normalised(kind: IdentityType, raw: str) -> str:
    try:
        return normalise(kind, raw)
    except MalformedIdentity:
        return raw.strip()
