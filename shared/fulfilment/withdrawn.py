"""What a system cannot do of an erasure or a withdrawal of consent, so that a person does it there; pure."""

from collections.abc import Mapping

from pydantic import JsonValue

from shared.domain.errors import NotSupported
from shared.domain.operations import Operation
from shared.systems.downstream import Downstream


def by_hand(
    system: Downstream, operation: Operation, tenant: str | None, details: Mapping[str, JsonValue]
) -> NotSupported | None:
    """Why a person must look, if so; ``details``: of the task.

    What the policy keeps, restricts or anonymises in an erasure a system that only deletes must not be asked for, and
    what it keeps while a state lasts no system of which nobody tells that state.

    What was kept by that consent alone only goes where a system can erase one category and leave the rest. What is
    held for other reasons too stays, and no system knows what it is used for. To find somebody is none of that.
    """
    if operation is Operation.LOCATE:
        return None
    if operation in {Operation.ERASE, Operation.PLAN} and tenant is None and system.left:
        left = "; it ".join(system.left)
        return NotSupported(f"{system.name} {left}: erase there by hand what may go, and enter that")
    goes, concerns = ending(system, details), _held(system, details.get("concerns"))
    if goes and not system.capable.erases_by_category:
        return NotSupported(
            f"{system.name} cannot erase {goes} by itself: erase there by hand what is theirs, once no access or"
            " portability of theirs is open and no legal hold or restriction keeps it, and enter what was done"
        )
    if concerns:
        return NotSupported(
            f"{system.name} holds {concerns} for other reasons too: see to it by hand that nobody uses it for what they"
            " had consented to, and enter that"
        )
    return None


def ending(system: Downstream, details: Mapping[str, JsonValue]) -> str:
    """What of a system goes with the consent that is withdrawn; empty where that is nothing."""
    return ", ".join(sorted(ends(system, details)))


def ends(system: Downstream, details: Mapping[str, JsonValue]) -> frozenset[str]:
    """The same, by category."""
    named = details.get("ends")
    return system.categories & {str(each) for each in named} if isinstance(named, list) else frozenset()


def _held(system: Downstream, named: JsonValue) -> str:
    held = {str(each) for each in named} if isinstance(named, list) else set[str]()
    return ", ".join(sorted(system.categories & held))
