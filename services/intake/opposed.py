"""How two persons let an erasure begin that a restriction of the same person opposes (Art. 17, 18(1)(b), (c), 18(3)).

What was kept for the person, as for their claims, ends with it for good: so it takes as much as a refusal. The letter
of each restriction that ends is written in the transaction of the second word, before any system is changed.
"""

from services.intake import other_requests
from services.intake.auth import Caller
from services.intake.errors import SamePerson
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from services.intake.request.aggregate import Request, Transition
from shared.messaging.unit_of_work import UnitOfWork

# What was said of some restrictions says nothing of others that have come since.
_CONFIRM = """
INSERT INTO opposed_begin (request_id, awaits, first, first_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (request_id, awaits) DO UPDATE SET second = $3, second_at = $4
WHERE opposed_begin.first <> $3 RETURNING second IS NOT NULL
"""


async def begin(tx: UnitOfWork, request: Request, caller: Caller, letters: Letters) -> Transition:
    """Lets it begin; where a restriction opposes it, by the word of two persons.

    Raises:
        SamePerson: they have said so before.
    """
    if not request.opposed:
        return request.begin("decided")
    awaits = (await other_requests.awaited_by(tx.connection, [request.request_id])).get(request.request_id, [])
    by_two = await tx.connection.fetchval(_CONFIRM, request.request_id, sorted(awaits), caller.holder, tx.now)
    if by_two is None:
        raise SamePerson("you have decided this: what the person has had kept ends with it, so it takes somebody else")
    if not by_two:
        return request.noted("erasure.begin_proposed", awaits=[str(other) for other in sorted(awaits)])
    restrictions = await Requests.locked(tx, letters, awaits, caller.actor)
    for other in restrictions.all:
        await restrictions.apply(other.end_with_erasure(request.request_id, tx.now))
    await restrictions.save()
    return request.begin("decided")
