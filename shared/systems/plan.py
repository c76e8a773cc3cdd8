"""Orders the systems of a request: those that yield identities are located first and erased last; pure.

Every system is searched by the identities that any system knows, since an answer that misses records filed by another
identity is wrong. Systems that may refuse an erasure are asked before its first step, so that a refusal leaves all
others unchanged. A legal hold or another request may be filed by any identity, so these are located too.
"""

from collections.abc import Collection, Sequence
from typing import Final

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Stages, Step
from shared.systems.downstream import Downstream
from shared.systems.relations import state_reporters

_BLOCKABLE: Final = frozenset({Operation.ERASE, Operation.PLAN, Operation.SUPPRESS})
"""Operations that a legal hold, a restriction or another request of the person may stop, and the dry run."""
_REUSING_IDENTITIES: Final = frozenset({Operation.LIFT})
"""Operations that reuse the identities of the operation that they undo, without a search."""


def stages(systems: Sequence[Downstream], operation: Operation, locating: Sequence[Downstream] = ()) -> Stages:
    """Returns the stages of an operation; tasks of one stage may run side by side.

    First, systems that yield identities are located. An erasure then asks the systems that may refuse, and erases each
    system after those that depend on it. Systems that report a state run before those that keep data by it.
    ``locating``: systems without the operation, which are located if they yield identities that these need, and always
    before an erasure.
    """
    sources = _identity_sources(systems, locating, operation)
    checkers = _claim_checkers([*systems, *(each for each in locating if each not in systems)])
    layers, last = _layers([*sources, *(each for each in checkers if each not in (*systems, *sources)), *systems])
    # In a cycle, each system is located once per member, so that it learns the identities of all.
    located = [layer for layer, in_cycle in layers for _ in (layer if in_cycle else [layer])]
    blockable = operation in _BLOCKABLE
    located.append([each for each in last if each.finds_more or each in checkers or (blockable and _yields(each))])
    located = [] if operation in _REUSING_IDENTITIES else located
    groups = [[s for s in group if s in systems] for group in (last, *(layer for layer, _ in reversed(layers)))]
    worked = groups if operation is Operation.ERASE else [[each for group in groups for each in group]]
    asked = _reporters_first([each for each in systems if each.may_refuse]) if operation is Operation.ERASE else []
    worked = _reporters_first(worked[0]) if operation is Operation.PLAN else worked
    return tuple(
        tuple(Step(system.name, verb) for system in layer)
        for verb, order in ((Operation.LOCATE, located), (Operation.PLAN, asked), (operation, worked))
        for layer in order
        if layer
    )


def _identity_sources(
    systems: Sequence[Downstream], knowing: Sequence[Downstream], operation: Operation
) -> list[Downstream]:
    """Returns other systems that yield identities for these, directly or through another."""
    others = [each for each in knowing if each not in systems]
    leading = [each for each in others if operation in _BLOCKABLE and _yields(each)]
    while fresh := [
        other
        for other in others
        if other not in leading and any(_supplies(other, each) for each in (*systems, *leading) if each is not other)
    ]:
        leading += fresh
    return leading


def _claim_checkers(systems: Sequence[Downstream]) -> list[Downstream]:
    """Returns systems whose rows may show that a claimed account is another person's."""
    claimed = any(IdentityType.ACCOUNT_ID in each.yields and not each.assigns for each in systems)
    return [each for each in systems if claimed and each.may_name_others and each.can(Operation.LOCATE)]


def _yields(system: Downstream) -> bool:
    """Whether the system yields identities other than names."""
    return bool(system.yields - {IdentityType.NAME})


def _reporters_first(asked: Sequence[Downstream]) -> list[list[Downstream]]:
    """Splits systems into turns: those that report a state come before those that keep data by it."""
    turns = [list(asked)]
    while (first := state_reporters(turns[0], turns[0])) and len(first) < len(turns[0]):
        turns[:1] = [first, [each for each in turns[0] if each not in first]]
    return turns


def restricted_stages(
    planned: Stages, systems: frozenset[str], operation: Operation, tellers: Collection[str] = ()
) -> Stages:
    """Returns the stages of an operation on these systems, and of asking ``tellers``, without locating again.

    A stop of marketing is located again, since a withdrawal of consent may have to leave data filed by another
    identity.

    Raises:
        Misconfigured: a system can no longer do it
    """
    wanted = {(system, operation) for system in systems} | {(system, Operation.PLAN) for system in tellers}
    if operation is Operation.SUPPRESS:
        wanted |= {step for stage in planned for step in stage if step.operation is Operation.LOCATE}
    chosen = tuple(tuple(step for step in stage if step in wanted) for stage in planned)
    if missing := systems - {step.system for stage in chosen for step in stage if step.operation is operation}:
        raise Misconfigured(f"no downstream system of that name can {operation}: {', '.join(sorted(missing))}")
    return tuple(stage for stage in chosen if stage)


def _layers(systems: Sequence[Downstream]) -> tuple[list[tuple[list[Downstream], bool]], list[Downstream]]:
    """Returns layers of systems that others depend on, each with whether it is a cycle; then the remaining systems."""
    waiting = list(systems)
    layers: list[tuple[list[Downstream], bool]] = []
    while feeding := [s for s in waiting if any(_supplies(s, other) for other in waiting if other is not s)]:
        first = [s for s in feeding if not any(_supplies(other, s) for other in feeding if other is not s)]
        layers.append((first or feeding, not first))
        waiting = [system for system in waiting if system not in (first or feeding)]
    return layers, waiting


def _supplies(giver: Downstream, taker: Downstream) -> bool:
    return bool(giver.yields & taker.needs)
