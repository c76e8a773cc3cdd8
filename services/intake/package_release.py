"""How two persons release a package that the check withholds: each has looked, and says that it is the subject's."""

from services.intake.auth import Caller
from services.intake.request.aggregate import Request, Transition
from shared.domain.errors import IllegalTransition
from shared.messaging.unit_of_work import UnitOfWork

# What was confirmed for one reason says nothing about another.
_CONFIRM = """
INSERT INTO package_release (package_id, fault, request_id, first, first_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (package_id, fault) DO UPDATE SET second = $4, second_at = $5
WHERE package_release.first <> $4 AND package_release.second IS NULL RETURNING second IS NOT NULL
"""


async def confirm(tx: UnitOfWork, request: Request, caller: Caller) -> Transition:
    """Takes the word of one person; with the second's it is released.

    Raises:
        IllegalTransition: nothing is withheld, or they have said so before.
    """
    request.must_be_withheld()
    given = (request.package_id, request.package_fault, request.request_id, caller.holder, tx.now)
    by_two = await tx.connection.fetchval(_CONFIRM, *given)
    if by_two is None:
        raise IllegalTransition("you have confirmed this: it takes two persons, so somebody else must confirm it too")
    return request.release(caller.holder, by_two=by_two)
