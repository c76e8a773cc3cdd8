"""What of a rectification concerns a system: corrections of what it holds, or statements beside its records; pure."""

from collections.abc import Sequence
from uuid import UUID

from shared.domain.errors import NotSupported
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.downstream import Downstream


def not_asked(
    system: Downstream, operation: Operation, task_id: UUID, changes: Sequence[Change]
) -> Receipt | NotSupported | None:
    """What becomes of a correction with which a system has nothing to do, or which a person makes there; else None.

    It is told before anything is searched for: nobody has to prove anything for what concerns other systems.
    """
    if operation is not Operation.RECTIFY or not changes:
        return None
    named = {change.record.category for change in changes if change.record}
    if not named:
        corrects = getattr(system.adapter, "corrects", True)
        return None if corrects else Receipt(task_id, TaskOutcome.NOT_HELD)
    if named & getattr(system.adapter, "stated", frozenset[str]()):
        return None
    if categories := ", ".join(sorted(named & system.categories)):
        return NotSupported(
            f"{system.name} holds {categories}, and keeps no statements beside it: see to it by hand that the subject's"
            " statement stands with the record, and enter what was done"
        )
    return Receipt(task_id, TaskOutcome.NOT_HELD)
