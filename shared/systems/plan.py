"""The order in which downstreams are worked: what yields identities is located first, and erased last.

Whatever is asked for, every system is searched by all that any of them knows of the person, itself included: a copy
that leaves out what is filed by another identity of theirs is as untrue as an erasure that does. Whoever may refuse an
erasure is asked before the first step of it, so that a refusal leaves all others untouched; and before it even that is
asked for by which no system is searched, since a hold, a restriction or another request of theirs may be filed by it.

Pure: works on what each system declares, not on what is found.
"""

from collections.abc import Collection, Sequence
from typing import Final

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Stages, Step
from shared.systems.downstream import Downstream
from shared.systems.relations import tellers

_HINDERED: Final = frozenset({Operation.ERASE, Operation.PLAN, Operation.SUPPRESS})
"""What a legal hold, a restriction or another request of the same person may stop, and its dry run.

So is what erases what was kept by a withdrawn consent.
"""
_BY_WHAT_IS_KNOWN: Final = frozenset({Operation.LIFT})
"""What is done by the very identities by which it was done before, so that no search stands in the way of it."""


def stages(systems: Sequence[Downstream], operation: Operation, knowing: Sequence[Downstream] = ()) -> Stages:
    """The stages of an operation over these systems; tasks of one stage may run side by side.

    Systems that yield what another one needs are located first, so that what any of them yields reaches every other
    system, and so are those that may find more by what they themselves yield; then all do it, for ``erase`` each of
    those only after the ones that depend on it, and all only after those that may refuse have said what they would do,
    and before those whoever tells a state by which they may keep. ``knowing``: systems that do not do it, and are
    located where what they yield leads to more in one that does. Before an erasure and its dry run everybody is located
    who tells by what else somebody is known. Where an account is no more than claimed, so is everybody whose rows
    may show that it is another person's. What was restricted is lifted by what it was restricted by: nobody is located.
    """
    leading = _leading(systems, knowing, operation)
    weighing = _weighing([*systems, *(each for each in knowing if each not in systems)])
    layers, last = _layers([*leading, *(each for each in weighing if each not in (*systems, *leading)), *systems])
    # In a circle of systems that need one another's identities each learns of the others' in turn.
    located = [layer for layer, in_a_circle in layers for _ in (layer if in_a_circle else [layer])]
    hindered = operation in _HINDERED
    located.append([each for each in last if each.leads_on or each in weighing or (hindered and _tells(each))])
    located = [] if operation in _BY_WHAT_IS_KNOWN else located
    groups = [[s for s in group if s in systems] for group in (last, *(layer for layer, _ in reversed(layers)))]
    worked = groups if operation is Operation.ERASE else [[each for group in groups for each in group]]
    asked = _in_turn([each for each in systems if each.may_refuse]) if operation is Operation.ERASE else []
    worked = _in_turn(worked[0]) if operation is Operation.PLAN else worked
    return tuple(
        tuple(Step(system.name, verb) for system in layer)
        for verb, order in ((Operation.LOCATE, located), (Operation.PLAN, asked), (operation, worked))
        for layer in order
        if layer
    )


def _leading(systems: Sequence[Downstream], knowing: Sequence[Downstream], operation: Operation) -> list[Downstream]:
    """Those of the others that yield what leads to more in these systems, or in another that leads there."""
    others = [each for each in knowing if each not in systems]
    leading = [each for each in others if operation in _HINDERED and _tells(each)]
    while fresh := [
        other
        for other in others
        if other not in leading and any(_feeds(other, each) for each in (*systems, *leading) if each is not other)
    ]:
        leading += fresh
    return leading


def _weighing(systems: Sequence[Downstream]) -> list[Downstream]:
    """Those whose rows may show that an account is another person's, where one of them only claims accounts."""
    claimed = any(IdentityType.ACCOUNT_ID in each.yields and not each.assigns for each in systems)
    return [each for each in systems if claimed and each.may_contradict and each.can(Operation.LOCATE)]


def _tells(system: Downstream) -> bool:
    """Whether it tells by what else somebody is known; a name tells nobody."""
    return bool(system.yields - {IdentityType.NAME})


def _in_turn(asked: Sequence[Downstream]) -> list[list[Downstream]]:
    """Who tells a state by which others keep is asked before them, also before those that tell another state."""
    turns = [list(asked)]
    while (first := tellers(turns[0], turns[0])) and len(first) < len(turns[0]):
        turns[:1] = [first, [each for each in turns[0] if each not in first]]
    return turns


def only(planned: Stages, systems: frozenset[str], operation: Operation, tellers: Collection[str] = ()) -> Stages:
    """What of these stages does the operation on those systems, and asks the ``tellers``; nobody is located again.

    Unless it is to stop something: what goes with a consent may be kept by what is filed by another identity.

    Raises:
        Misconfigured: one of the systems can no longer do it.
    """
    wanted = {(system, operation) for system in systems} | {(system, Operation.PLAN) for system in tellers}
    if operation is Operation.SUPPRESS:
        wanted |= {step for stage in planned for step in stage if step.operation is Operation.LOCATE}
    kept = tuple(tuple(step for step in stage if step in wanted) for stage in planned)
    if missing := systems - {step.system for stage in kept for step in stage if step.operation is operation}:
        raise Misconfigured(f"no downstream system of that name can {operation}: {', '.join(sorted(missing))}")
    return tuple(stage for stage in kept if stage)


def _layers(systems: Sequence[Downstream]) -> tuple[list[tuple[list[Downstream], bool]], list[Downstream]]:
    """Systems in the order of their needs, and whether they form a circle; then those whose yields nobody waits for."""
    waiting = list(systems)
    layers: list[tuple[list[Downstream], bool]] = []
    while feeding := [s for s in waiting if any(_feeds(s, other) for other in waiting if other is not s)]:
        first = [s for s in feeding if not any(_feeds(other, s) for other in feeding if other is not s)]
        layers.append((first or feeding, not first))
        waiting = [system for system in waiting if system not in (first or feeding)]
    return layers, waiting


def _feeds(giver: Downstream, taker: Downstream) -> bool:
    return bool(giver.yields & taker.needs)
