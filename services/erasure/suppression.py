"""Whoever was erased gets no marketing when they are imported again, where the policy says so."""

from collections.abc import Sequence

from shared.domain.policy_files import suppression_policy
from shared.domain.proofs import proved
from shared.domain.rights import Level, Outcome, Right
from shared.fulfilment.at_once import suppress
from shared.fulfilment.store import Completed
from shared.messaging.unit_of_work import UnitOfWork

_LEAST: Level = "L1"
"""What is only stated, and was found by nobody, may be anybody's."""


async def keep(tx: UnitOfWork, completed: Sequence[Completed]) -> None:
    """Lists what these erasures were searched by, stated or located, before the subject's key goes.

    Of whom nothing was found there is nothing that would come back; what others have too, as a family's address, is
    theirs as well; and whom a customer of ours has erased, that customer writes to.
    """
    found = {done.subject_ref: done.request_id for done in completed if done.outcome is not Outcome.NO_DATA}
    if not found or not suppression_policy(tx.policy.overlay).erasure:
        return
    known = await tx.vault.subject_data(tx.connection, found)
    shared = {
        subject: {(each.type, each.value) for each in data.identities if each.shared} for subject, data in known.items()
    }
    points = {
        found[subject]: [i for i in proved(data.identities, _LEAST) if (i.type, i.value) not in shared[subject]]
        for subject, data in known.items()
        if data.tenant is None
    }
    await suppress(tx, points, Right.ERASURE, located=True)
