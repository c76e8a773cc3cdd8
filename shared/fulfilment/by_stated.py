"""Whoever objects, or withdraws consent, is searched by what they have stated: another's row is no part of that.

An address or a number that stands in their row may be another's as well (a household's line), and an account may stand
in rows of others (a stranger's ticket). So what systems have told of them finds somebody only where nothing that they
have stated does, nothing of several people is left to a confirmation, and what remains in doubt a person does by hand:
marketing stops for everybody who has the stated address, and for nobody else (Art. 21(3)).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from uuid import UUID

from shared.domain.assignments import Register
from shared.domain.errors import BlastRadius, ForeignHit
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Limit, Operation, TaskOutcome, Unsearched
from shared.domain.rights import Right
from shared.fulfilment.queue import Claim
from shared.fulfilment.searching import Search, search
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import suppression
from shared.storage.subject_data import SubjectData
from shared.storage.suppression import CHANNELS, Entry
from shared.systems.contract import COPY_FIRST, Checkpoint, NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream
from shared.systems.protocols import Operate

_SEARCHES: Final = frozenset({Operation.LOCATE, Operation.SUPPRESS})
_REQUESTER: Final = "requester"
CONTACT_POINTS: Final = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI)
"""By what somebody is reached, and what others may have in common with them, the most telling first."""


def unstated(identities: Iterable[Identity]) -> list[Identity]:
    """The addresses and numbers that the person has not stated: some system says that they are theirs."""
    known = [*identities]
    stated = {(each.type, each.value) for each in known if each.source == _REQUESTER}
    return [i for i in known if i.type in CONTACT_POINTS and (i.type, i.value) not in stated]


def listed(identities: Iterable[Identity]) -> list[Identity]:
    """What goes onto the list of those who get no marketing: nothing unstated that others have as well."""
    known = [*identities]
    others = {(each.type, each.value) for each in unstated(known) if each.shared}
    return [each for each in known if (each.type, each.value) not in others]


def heeded(system: Downstream, operation: Operation, claim: Claim, subject: SubjectData) -> SubjectData:
    """By what that system may be searched for a task.

    Where it knows people by accounts, what is stated, or the account, finds whoever has stated it, and what systems
    have told beside it might find another; else an address that they have told is taken before a number.
    """
    if claim.fulfils != Operation.SUPPRESS or operation not in _SEARCHES or claim.repair or not claim.searches:
        return subject
    told = unstated(subject.identities)
    left_out = [each for each in told if each.shared and not system.capable.tells_holders_apart]
    if IdentityType.ACCOUNT_ID in system.needs | system.yields:
        own = [each for each in system.may_hear(subject.identities) if each not in told and each.type in system.needs]
        kinds = {each.type for each in own if each.type is not IdentityType.NAME}
        first = next((kind for kind in CONTACT_POINTS if any(each.type is kind for each in told)), None)
        left_out += [each for each in told if kinds or each.type is not first]
    return replace(subject, identities=tuple(each for each in subject.identities if each not in left_out))


def searched(
    system: Downstream, operation: Operation, claim: Claim, subject: SubjectData, register: Register | None
) -> Search | NotSearched:
    """By what that system is searched for a task; what finds nothing there tells others from its subject.

    Raises as ``searching.search``.
    """
    heard = heeded(system, operation, claim, subject)
    gone = [each for each in subject.identities if each not in heard.identities]
    if not gone:
        return search(system, operation, claim, subject, register)
    if _of_several(gone, heard.identities, system.needs):
        return NotSearched(claim.task_id, Unsearched.HELD_BY_OTHERS)
    return replace(search(system, operation, claim, heard, register), beside=tuple(gone))


def _of_several(gone: Iterable[Identity], left: Iterable[Identity], needs: Collection[IdentityType]) -> bool:
    """Whether nothing is left to search by, and what several people have would have been something."""
    return any(each.shared and each.type in needs for each in gone) and not any(each.type in needs for each in left)


def with_own_alone(operate: Operate, system: Downstream) -> Operate:
    """The operation; what would reach several people for somebody whose marketing stops is done by what they stated."""
    return partial(_work, operate, system)


async def _work(
    operate: Operate, system: Downstream, tasks: Sequence[Task], save_progress: Checkpoint
) -> Sequence[Result]:
    asked = [_unconfirmed(task) if _stops_alone(task) else task for task in tasks]
    results = [*await operate(asked, save_progress)]
    for narrower in _NARROWER:
        again = {n: narrower(task) for n, task in enumerate(asked) if _stops_alone(task) and _of_others(results[n])}
        able = {n: task for n, task in again.items() if any(each.type in system.needs for each in task.identities)}
        for n in again.keys() - able.keys():
            results[n] = _left(asked[n])
        if able:
            for n, result in zip(able, await operate([*able.values()], save_progress), strict=True):
                results[n] = _in_part(asked[n], result)
    return results


def _stops_alone(task: Task) -> bool:
    """Whether it stops marketing or locates for that, and erases nothing."""
    erases = bool(task.details.get("ends")) and COPY_FIRST not in task.details
    return task.stops_marketing and not task.repair and not erases


def _unconfirmed(task: Task) -> Task:
    """How many people are meant nobody confirms: the others have not objected."""
    return replace(task, confirmed={k: n for k, n in task.confirmed.items() if k != Limit.MAX_PEOPLE})


def _stated_alone(task: Task) -> Task:
    return replace(task, identities=tuple(i for i in task.identities if i.source == _REQUESTER))


def _reached_by(task: Task) -> Task:
    stated = (i for i in task.identities if i.source == _REQUESTER)
    return replace(task, identities=tuple(i for i in stated if i.type is not IdentityType.ACCOUNT_ID))


_NARROWER: Final[Sequence[Callable[[Task], Task]]] = (_stated_alone, _reached_by)


def _of_others(result: Result) -> bool:
    """Whether the search has met other people."""
    several = isinstance(result, BlastRadius) and result.exceeded and result.exceeded.limit is Limit.MAX_PEOPLE
    return bool(several) or isinstance(result, ForeignHit)


def _left(task: Task) -> Result:
    """Nothing leads on from there; what is to be stopped there a person finds."""
    if task.operation is Operation.LOCATE:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    return NotSearched(task.task_id, Unsearched.HELD_BY_OTHERS)


def _in_part(task: Task, result: Result) -> Result:
    """What is done by what was stated; the rest, which stands among rows of others, is a person's."""
    partly = task.operation is not Operation.LOCATE and isinstance(result, Receipt)
    if not partly or not isinstance(result, Receipt) or result.outcome is TaskOutcome.NOT_HELD:
        return result
    return replace(result, not_searched=Unsearched.HELD_BY_OTHERS)


async def suppress(tx: UnitOfWork, known: Mapping[UUID, Iterable[Identity]], right: Right, *, located: bool) -> None:
    """Adds every contact point among these, by request, as a keyed hash.

    ``located``: these are not just what the requester has stated, but what systems have named of them as well. Then it
    is on record only where it adds something.
    """
    fingerprint = tx.vault.keyring.fingerprint
    entries = {
        Entry(fingerprint(identity), request_id, right, CHANNELS[identity.type])
        for request_id, identities in known.items()
        for identity in listed(identities)
        if identity.type in CHANNELS
    }
    added = await suppression.add(tx.connection, entries, tx.now)
    for request_id in known:
        if added[request_id] or not located:
            detail = {"contact_points": added[request_id], "located": located}
            tx.log_evidence(request_id, "suppression.added", {**detail})
