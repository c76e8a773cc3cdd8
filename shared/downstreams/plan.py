"""The order in which downstreams are worked: what yields identities is located first and erased last.

Pure: works on what each system declares, not on what is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Stages, Step


@dataclass(frozen=True, slots=True)
class System:
    """What a downstream declares: it ``needs`` any one of these identity types to be searched, and ``yields`` those."""

    name: str
    needs: frozenset[IdentityType]
    yields: frozenset[IdentityType]


def stages(systems: Sequence[System], operation: Operation) -> Stages:
    """The stages of an operation over these systems; tasks of one stage may run side by side.

    For ``erase``, systems that yield what another one needs are located first and erased after those others. For every
    other operation such a system simply goes first: doing it yields the identities. A circle of systems that need one
    another's identities is worked in one stage, each with what is known by then.
    """
    layers = _layers(systems)
    if operation is not Operation.ERASE:
        return tuple(tuple(Step(system.name, operation) for system in layer) for layer in layers)
    located = tuple(tuple(Step(s.name, Operation.LOCATE) for s in layer) for layer in layers[:-1])
    erased = tuple(tuple(Step(s.name, operation) for s in layer) for layer in reversed(layers))
    return located + erased


def only(planned: Stages, systems: frozenset[str], operation: Operation) -> Stages:
    """What of these stages does the operation on those systems; nobody is located again.

    Raises:
        Misconfigured: one of the systems can no longer do it.
    """
    chosen = (tuple(step for step in stage if step.system in systems) for stage in planned)
    kept = tuple(tuple(step for step in stage if step.operation is operation) for stage in chosen)
    if missing := systems - {step.system for stage in kept for step in stage}:
        raise Misconfigured(f"no downstream system of that name can {operation}: {', '.join(sorted(missing))}")
    return tuple(stage for stage in kept if stage)


def _layers(systems: Sequence[System]) -> list[list[System]]:
    """Systems in the order of their needs; the last layer holds all whose yields nobody waits for."""
    waiting = list(systems)
    layers: list[list[System]] = []
    while True:
        feeding = [
            s for s in waiting if _feeds(s, waiting) and not any(_feeds_one(o, s) for o in waiting if o is not s)
        ]
        if not feeding:
            return [*layers, waiting] if waiting else layers
        layers.append(feeding)
        waiting = [system for system in waiting if system not in feeding]


def _feeds(system: System, others: Sequence[System]) -> bool:
    return any(_feeds_one(system, other) for other in others if other is not system)


def _feeds_one(giver: System, taker: System) -> bool:
    return bool(giver.yields & taker.needs) and not taker.yields >= giver.yields
