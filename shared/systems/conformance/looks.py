"""What can be seen of somebody in a system under examination, without changing anything there."""

from shared.domain.operations import Operation, TaskOutcome
from shared.systems.conformance.examined import Trial
from shared.systems.conformance.findings import receipt_of
from shared.systems.conformance.people import Person
from shared.systems.contract import Record

LOOKS = (Operation.LOCATE, Operation.EXPORT)
"""What shows whether somebody is there."""
_FOUND = {Operation.LOCATE: TaskOutcome.LOCATED, Operation.EXPORT: TaskOutcome.EXPORTED}


async def look(trial: Trial, person: Person) -> int | None:
    """How much of somebody it shows now; None: it can show nothing."""
    for operation in LOOKS:
        if trial.can(operation):
            receipt = receipt_of(await trial.ask(operation, person), _FOUND[operation], TaskOutcome.NO_MATCH)
            return receipt.found if receipt.outcome is not TaskOutcome.NO_MATCH else 0
    return None


async def has_kept(trial: Trial, person: Person, held: int | None) -> bool:
    """Whether no row of theirs has gone, as far as that can be told; a history may have grown."""
    now = await trial.examined.held(person)
    return now is None or held is None or now >= held


async def records(trial: Trial, person: Person) -> list[Record]:
    """A copy of all that it holds of somebody."""
    receipt = receipt_of(await trial.ask(Operation.EXPORT, person), TaskOutcome.EXPORTED, TaskOutcome.NO_MATCH)
    return list(receipt.records)


async def shown(trial: Trial, person: Person) -> object:
    """All that can be seen of somebody without changing anything."""
    if trial.can(Operation.EXPORT):
        return sorted(repr((each.category, each.source, dict(each.data))) for each in await records(trial, person))
    return await look(trial, person)
