"""Whoever got the letter to a contact on file has asked for nothing: what its code opened may be a breach (Art. 33).

That is suspected, and no more: the clock of 72 hours runs from then on, and a person judges it. While the request is
not answered the account counts as proved no more, so whatever is not done yet is not done by it.
"""

from datetime import timedelta

from services.intake import taking_back
from services.intake.breach import breaches
from services.intake.breach.breaches import HandedOut
from services.intake.identity import contact_codes
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from services.intake.request.lifecycle import State
from services.intake.settings import IntakeSettings
from shared.domain.identities import IdentityType
from shared.domain.levels import NOTHING
from shared.domain.release import Fault
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData

_DOWNLOADS = "SELECT downloads FROM request WHERE request_id = $1"


async def disown(tx: UnitOfWork, letters: Letters, token: str, settings: IntakeSettings) -> bool:
    """Ends the codes of a letter by its link; whether anything waits for a person now (``stopped``).

    Where a code was typed before, what was found may have been shown to somebody else, or changed for them.
    """
    request_id = await contact_codes.look(tx.connection, token, tx.now)
    requests = await Requests.locked(tx, letters, [request_id] if request_id else [])
    request = next(iter(requests.all), None)
    if await contact_codes.disown(tx, token) is None or request is None:
        return False
    if await contact_codes.typed(tx.connection, request.request_id) is None:
        return request.state is State.AWAITING_IDENTITY
    if any(task.found or task.changed or task.uncounted for task in request.tasks or ()):
        downloads = await tx.connection.fetchval(_DOWNLOADS, request.request_id)
        place = request.package_id or request.request_id
        shown = HandedOut(request.request_id, place, Fault.NOT_PROVED, downloads)
        await breaches.open_one(tx, shown, timedelta(hours=settings.breach_hours))
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref, SubjectData())
    stated = (each for each in known.identities if each.source == "requester" and each.level > NOTHING)
    if request.state is not State.CLOSED and any(each.type is IdentityType.ACCOUNT_ID for each in stated):
        await requests.apply(await taking_back.by_its_holder(tx, request, IdentityType.ACCOUNT_ID))
        await requests.save()
    return True
