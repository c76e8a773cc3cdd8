"""What a legal hold covers is left as it is: it is asked each time before a system is told to erase (Art. 17(3)(e)).

A customer's own data are held by that customer: a hold of ours stops no instruction.
"""

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from shared.domain.holds import LEGAL_HOLD, Hold, HoldMarks
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.precedence import Fingerprints
from shared.downstreams.contract import Receipt, Result
from shared.downstreams.downstream import Downstream
from shared.runtime.settings import PolicySettings
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


def kept(system: Downstream, operation: Operation, task_id: UUID, hold: Hold | None) -> Receipt | None:
    """That the system keeps all that it has of the subject; None where it may erase.

    Of what a system holds nobody can tell what the hold covers where that is not declared: then all of it.
    """
    if operation is not Operation.ERASE or not _covers(hold, system):
        return None
    return Receipt(task_id, TaskOutcome.RETAINED, ground=LEGAL_HOLD)


def planned(system: Downstream, result: Result, hold: Hold | None) -> Result:
    """What a dry run says of a system whose data are held: all of it would stay."""
    if not isinstance(result, Receipt) or result.outcome is not TaskOutcome.PLANNED or not _covers(hold, system):
        return result
    return replace(result, remaining=result.found, ground=LEGAL_HOLD, until=None, kept=None)


def _covers(hold: Hold | None, system: Downstream) -> bool:
    if hold is None:
        return False
    category_of = PolicySettings().read_processing().category_of
    return not system.categories or bool(hold.covers(system.categories, category_of))
