"""What a legal hold covers is left as it is: it is asked each time before a system is told to erase (Art. 17(3)(e)).

A customer's own data are held by that customer: a hold of ours stops no instruction.
"""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from shared.domain.errors import Unavailable
from shared.domain.holds import LEGAL_HOLD, Hold, HoldMarks
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.policy import Policy
from shared.domain.precedence import Fingerprints
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.downstream import Downstream
from shared.storage import holds
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData


async def holds_of(
    connection: Connection, keyring: Fingerprints, operation: Operation, known: Mapping[UUID, SubjectData]
) -> Mapping[UUID, Hold]:
    """Of the subjects of tasks that are about to be worked, those whose data are held, and by which holds."""
    if operation not in {Operation.ERASE, Operation.PLAN} or not await holds.exist(connection):
        return {}
    ours = {ref: subject.identities for ref, subject in known.items() if subject.tenant is None}
    return await holds.matching(connection, {ref: HoldMarks.of(keyring, each) for ref, each in ours.items()})


class Watch:
    """Looks before each step of an erasure whether a hold has come since its tasks were claimed."""

    def __init__(
        self,
        system: Downstream,
        operation: Operation,
        policy: Policy,
        known: Mapping[UUID, SubjectData],
        held: Mapping[UUID, Hold],
    ) -> None:
        self._system, self._operation, self._policy = system, operation, policy
        self._known, self._held = known, held

    async def look(self, connection: Connection, keyring: Fingerprints) -> None:
        """Raises ``Unavailable`` where one has: the next attempt leaves what it covers, and goes on with the rest."""
        if self._operation is not Operation.ERASE:
            return
        now = await holds_of(connection, keyring, self._operation, self._known)
        if any(
            _covers(hold, self._system, self._policy) and not self._knew(subject, hold) for subject, hold in now.items()
        ):
            raise Unavailable("gave up this attempt: a legal hold was placed since it began")

    def _knew(self, subject: UUID, hold: Hold) -> bool:
        before = self._held.get(subject)
        return before is not None and {*hold.hold_ids} <= {*before.hold_ids}


def kept(system: Downstream, operation: Operation, policy: Policy, task_id: UUID, hold: Hold | None) -> Receipt | None:
    """That the system keeps all that it has of the subject; None where it may erase, or can spare what is covered.

    Of what a system holds nobody can tell what the hold covers where that is not declared: then all of it.
    """
    if operation is not Operation.ERASE or not _covers(hold, system, policy) or spared(system, policy, hold):
        return None
    return Receipt(task_id, TaskOutcome.RETAINED, ground=LEGAL_HOLD)


def spared(system: Downstream, policy: Policy, hold: Hold | None) -> frozenset[str]:
    """What of a system's categories it leaves, where it can tell that from the rest; nothing, where not.

    Such a system is asked also where that is all that it holds: what stays is counted, and restricted.
    """
    held = _covered(hold, system, policy)
    return held if getattr(system.adapter, "spares_by_category", False) else frozenset()


def planned(system: Downstream, policy: Policy, result: Result, hold: Hold | None) -> Result:
    """What a dry run says of a system whose data are held: all of it would stay, or it says itself what of it."""
    if not isinstance(result, Receipt) or result.outcome is not TaskOutcome.PLANNED:
        return result
    if not _covers(hold, system, policy) or spared(system, policy, hold):
        return result
    return replace(result, remaining=result.found, ground=LEGAL_HOLD, until=None, kept=None)


def _covers(hold: Hold | None, system: Downstream, policy: Policy) -> bool:
    return hold is not None and (not system.categories or bool(_covered(hold, system, policy)))


def _covered(hold: Hold | None, system: Downstream, policy: Policy) -> frozenset[str]:
    return hold.covers(system.categories, policy.category_of) if hold else frozenset()
