"""Stops marketing or restricts data immediately, by what the requester stated, while systems are still searched.

An objection ends marketing as soon as it arrives (Art. 21(3)), and so does a withdrawn consent (Art. 7(3)).
A restriction protects from the first day (Art. 18). Neither waits for a system that is away or for a manual step.
If the search finds identities that the requester did not state, a later task stops those too.
A failed immediate task blocks no request: the later task does its work.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, Stages, Step, TaskOutcome
from shared.domain.rights import Right
from shared.fulfilment.queue import Conclusion, LeasedTask, TaskState
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import suppression
from shared.storage.suppression import CHANNELS, SuppressionEntry
from shared.systems.contract import BY_STATED, COPY_FIRST, STOPS_MARKETING
from shared.systems.downstream import Downstream
from shared.systems.engine.searching import unstated_contacts

IMMEDIATE_OPERATIONS = frozenset({Operation.SUPPRESS, Operation.RESTRICT})
_ADDRESSES = frozenset({IdentityType.EMAIL, IdentityType.PHONE})

# What a withdrawn consent erases, or a person sees to, is still to be done. Held: what a worker has in hand it ends.
_REPLACEABLE = """
SELECT t.task_id, t.fulfilment_id, t.system, f.subject_ref
FROM task t JOIN fulfilment f USING (fulfilment_id) JOIN task early
  ON early.fulfilment_id = t.fulfilment_id AND early.system = t.system AND early.operation = t.operation
WHERE t.fulfilment_id = ANY($1) AND NOT t.immediate AND t.state = 'waiting'
  AND early.immediate AND (early.state = 'ready' OR early.state = 'done' AND NOT early.receipt ? 'not_searched')
  AND coalesce(f.details -> 'ends', '[]') = '[]' AND coalesce(f.details -> 'concerns', '[]') = '[]'
  AND NOT EXISTS (SELECT FROM task other WHERE other.fulfilment_id = t.fulfilment_id
                  AND other.state = 'waiting' AND other.stage < t.stage)
FOR UPDATE OF early
"""
_TAKE_OVER = """
WITH t AS (DELETE FROM task WHERE task_id = ANY($1) RETURNING fulfilment_id, system, operation, stage)
UPDATE task early SET immediate = false, stage = t.stage FROM t
WHERE early.immediate AND early.fulfilment_id = t.fulfilment_id AND early.system = t.system
  AND early.operation = t.operation
"""


def immediate_steps(systems: Mapping[str, Downstream], new: NewFulfilment, stages: Stages) -> tuple[Step, ...]:
    """Returns the steps that need not wait for the search.

    While another system may still name other holders of an address, that address restricts no data.
    """
    verb = new.operation
    located = {step.system for stage in stages for step in stage if step.operation is Operation.LOCATE}
    if (
        verb not in IMMEDIATE_OPERATIONS
        or not located
        or new.details.get("repair")
        or new.details.get("marketing") is False
    ):
        return ()
    found = (step for stage in stages for step in stage if step.operation is verb)
    if verb is not Operation.RESTRICT:
        return tuple(found)
    asked = {name for name in located if name in systems and systems[name].distinguishes_people}
    return tuple(s for s in found if not (asked - {s.system} and _ADDRESSES & _needs(systems, s.system)))


def _needs(systems: Mapping[str, Downstream], name: str) -> frozenset[IdentityType]:
    return systems[name].needs if name in systems else frozenset()


async def take_over(tx: UnitOfWork, systems: Mapping[str, Downstream], ids: Sequence[UUID]) -> set[UUID]:
    """Lets immediate tasks replace later ones where the search found nothing new; returns their fulfilments."""
    rows = await tx.connection.fetch(_REPLACEABLE, ids) if ids else []
    known = await tx.vault.subject_data(tx.connection, [row[3] for row in rows]) if rows else {}
    same = [
        (task_id, fulfilment_id)
        for task_id, fulfilment_id, system, subject in rows
        if subject in known and not has_new_identities(known[subject].identities, _needs(systems, system))
    ]
    if same:
        await tx.connection.execute(_TAKE_OVER, [task_id for task_id, _ in same])
    return {fulfilment_id for _, fulfilment_id in same}


def has_new_identities(known: Collection[Identity], needs: Collection[IdentityType]) -> bool:
    """Returns whether systems named identities that this system needs and the requester did not state."""
    stated = {_key(each) for each in known if each.source == "requester"}
    named = (each for each in known if each.type in needs and each.type is not IdentityType.NAME)
    return any(_key(each) not in stated or each.shared for each in named)


def _key(identity: Identity) -> tuple[object, ...]:
    return identity.type, identity.value, identity.valid_from, identity.valid_to


def task_details(task: LeasedTask) -> Mapping[str, bool]:
    """Returns the details of a task that its fulfilment does not have.

    An immediate task erases nothing: what goes with a consent goes once it is known what must stay.
    Marketing stops for everyone who shares an address.
    """
    immediate = {COPY_FIRST: True} if task.immediate else {}
    if task.fulfils != Operation.SUPPRESS:
        return immediate
    return immediate | {STOPS_MARKETING if not task.details.get("ends") else BY_STATED: True}


def cancelled_if_failed(conclusion: Conclusion) -> Conclusion:
    """Cancels an immediate task that failed: the task after the search does its work."""
    task, report = conclusion.task, conclusion.report
    undone = conclusion.state is TaskState.FAILED or (report is not None and report.outcome == TaskOutcome.NOT_SEARCHED)
    if not (task.immediate and undone):
        return conclusion
    return Conclusion(task, TaskState.CANCELLED, None, None, conclusion.not_before)


def fulfilments_stopped(concluded: Iterable[Conclusion]) -> set[UUID]:
    """Returns the fulfilments with an immediate task that is done."""
    return {each.task.fulfilment_id for each in concluded if each.task.immediate and each.state is TaskState.DONE}


def suppressible(identities: Iterable[Identity]) -> list[Identity]:
    """Returns the identities for the suppression list: none that is unstated and shared with others."""
    known = [*identities]
    others = {(each.type, each.value) for each in unstated_contacts(known) if each.shared}
    return [each for each in known if (each.type, each.value) not in others]


async def suppress(tx: UnitOfWork, known: Mapping[UUID, Iterable[Identity]], right: Right, *, located: bool) -> None:
    """Adds every contact point among these, by request, as a keyed hash.

    ``located``: these are not just what the requester has stated, but what systems have named of them as well. Then it
    is on record only where it adds something.
    """
    fingerprint = tx.vault.keyring.fingerprint
    entries = {
        SuppressionEntry(fingerprint(identity), request_id, right, CHANNELS[identity.type])
        for request_id, identities in known.items()
        for identity in suppressible(identities)
        if identity.type in CHANNELS
    }
    added = await suppression.add(tx.connection, entries, tx.now)
    for request_id in known:
        if added[request_id] or not located:
            detail = {"contact_points": added[request_id], "located": located}
            tx.log_evidence(request_id, "suppression.added", {**detail})
