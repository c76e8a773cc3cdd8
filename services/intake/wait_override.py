"""Lets two persons begin an erasure that waits for other requests of the same person (Art. 17, 18(1)(b), (c), 18(3)).

A copy that is awaited is lost, and what was kept for the person's claims ends for good: it takes as much as a refusal.
The letter of each restriction that ends is written in the transaction of the second word, before any system is changed.
"""

from services.intake import other_requests
from services.intake.auth import Caller
from services.intake.errors import SamePerson
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from services.intake.request.aggregate import Request, Transition
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork

# What was said of some requests says nothing of others that have come since.
_CONFIRM = """
INSERT INTO wait_override (request_id, awaits, first, first_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id, awaits) DO UPDATE SET second = $3, second_at = $4
WHERE wait_override.first <> $3 RETURNING second IS NOT NULL
"""


async def begin(tx: UnitOfWork, request: Request, caller: Caller, letters: Letters) -> Transition:
    """Lets it begin with the second person's word, and ends the restrictions that it waits for.

    Raises:
        IllegalTransition: it does not wait for another request.
        SamePerson: they have said so before.
    """
    if not request.postponed:
        raise IllegalTransition("this request does not wait for another")
    awaits = (await other_requests.awaited_by(tx.connection, [request.request_id])).get(request.request_id, [])
    by_two = await tx.connection.fetchval(_CONFIRM, request.request_id, sorted(awaits), caller.holder, tx.now)
    if by_two is None:
        raise SamePerson("You have decided this. A second person must agree: a copy or a restriction ends with it.")
    if not by_two:
        return request.noted("erasure.begin_proposed", awaits=[str(other) for other in sorted(awaits)])
    others = await Requests.locked(tx, letters, awaits, caller.actor)
    for other in others.all:
        await others.apply(other.end_with_erasure(request.request_id, tx.now))
    await others.save()
    return request.begin("decided")
