"""Decides by which identities a system is searched, or why it is not asked; pure (REQ-S1).

A system is searched by what is proved as well as its data need. What is proved less well finds nobody, and narrows: a
name checks a hit, a period that is stated cuts another.

Somebody who objects, or withdraws consent, is searched by what they have stated: another's row is no part of that. An
address or a number that stands in their row may be another's as well (a household's line), and an account may stand in
rows of others (a stranger's ticket). So what systems have told of them finds somebody only where nothing that they have
stated does, and what remains in doubt a person does by hand (Art. 21(3)).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from pydantic import JsonValue

from shared.domain.assignments import (
    NUMBERS,
    AssignmentInDoubt,
    Conflict,
    Register,
    conflicts_of,
    lacking,
    located_by,
    number_of,
    stopped_by,
    without_stated,
)
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType, confirmed, ended, marked
from shared.domain.operations import (
    ANSWERING,
    DONE_BY_HAND,
    NOTIFICATIONS,
    OF_ONE_PERSON,
    Change,
    Operation,
    Step,
    TaskOutcome,
    Unsearched,
)
from shared.domain.proofs import action_of, highest, proved, restricts
from shared.domain.rights import NOTHING, Level, Right
from shared.systems.contract import NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream

_REQUESTER: Final = "requester"
_UNSEARCHED_BY: Final = frozenset({IdentityType.NAME})
_OF_EVERYTHING: Final = frozenset({Operation.EXPORT, Operation.ERASE, Operation.PLAN})
_SEARCHING: Final = ANSWERING | {Operation.PLAN}
CONTACT_POINTS: Final = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI)
"""By what somebody is reached, and what others may have in common with them, the most telling first."""


class Asked(Protocol):
    """A task before it is known by what its system is searched, with what its request says."""

    @property
    def task_id(self) -> UUID: ...
    @property
    def step(self) -> Step: ...
    @property
    def right(self) -> str: ...
    @property
    def fulfils(self) -> str: ...
    @property
    def searches(self) -> bool: ...
    @property
    def details(self) -> Mapping[str, JsonValue]: ...
    @property
    def at_once(self) -> bool: ...
    @property
    def repair(self) -> bool: ...


class Known(Protocol):
    """What is known of a subject."""

    @property
    def identities(self) -> tuple[Identity, ...]: ...
    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def tenant(self) -> str | None: ...


@dataclass(slots=True)
class Search:
    """By what a system is searched, each proved to that ``level``; ``lacks``: why not by all that is known.

    ``not_theirs``: for a repair of what keeps their periods, numbers that the register says were somebody else's all of
    the time.
    ``impossible``: there is nothing by which it could be. ``beside``: what is known of the subject and finds nothing.
    """

    identities: tuple[Identity, ...]
    level: Level = NOTHING
    lacks: Unsearched | None = None
    not_theirs: tuple[Identity, ...] = ()
    impossible: bool = False
    beside: tuple[Identity, ...] = ()

    @property
    def lacks_proof_to(self) -> Level | None:
        """How well what is missing must be proved."""
        return self.level if self.lacks is Unsearched.NOT_PROVED else None


def asked(system: Downstream, claim: Asked, subject: Known, register: Register | None) -> Search | Result:
    """By what the downstream is searched, or why it is not asked at all."""
    operation = claim.step.operation
    if claim.searches and not system.tells_apart(subject.tenant):
        return NotSupported(f"{system.name} does not tell the data of our customers apart")
    beyond = None if claim.at_once else by_hand(system, operation, subject.tenant, claim.details)
    if said := beyond or not_asked(system, operation, claim.task_id, subject.changes):
        return said
    allowed = heeded(system, claim, subject)
    gone = tuple(each for each in subject.identities if each not in allowed)
    if gone and _of_several(gone, allowed, system.needs):
        return NotSearched(claim.task_id, Unsearched.HELD_BY_OTHERS)
    try:
        found = search(system, claim, subject, register, allowed if gone else None)
    except (AssignmentInDoubt, NotSupported) as doubt:
        return doubt
    if found.impossible and found.lacks:
        return NotSearched(claim.task_id, found.lacks, found.lacks_proof_to)
    found.beside = gone
    return found


def search(
    system: Downstream,
    claim: Asked,
    subject: Known,
    register: Register | None,
    allowed: tuple[Identity, ...] | None = None,
) -> Search:
    """By what that system is searched for a task; ``allowed``: what of the subject it may be searched by.

    What a system yields is known as well as that by which it was searched, so it is asked by the best there is.

    What others have too (a family's address) is no more than a hint to a system that does not check whose its hits are.
    An account that is only claimed is told to nobody who does not weigh whose the rows are that it finds.
    What was theirs until a day is somebody else's, perhaps, to a system that does not know of what time its data is.
    Marketing stops by the numbers that are stated, whatever the register says of them.

    Raises:
        AssignmentInDoubt: the register does not tell whose a number is
        NotSupported: a restriction is to be lifted where it could be found alone by what others have, or may have
    """
    operation, identities = claim.step.operation, subject.identities if allowed is None else allowed
    needs = system.needs if claim.searches else frozenset[IdentityType]()
    known = filed_by(needs, identities)
    if operation in NOTIFICATIONS or not claim.searches:
        level = NOTHING
    else:
        right = Right(claim.right)
        action = action_of(right, subject.changes, restricts=restricts(right, Operation(claim.fulfils)))
        level = system.needed[action]
    heard = [each for each in system.may_hear(known) if each.type in needs]
    if operation is Operation.LOCATE:
        level = max(level, highest(heard))
    names = tuple(each for each in known if each.type is IdentityType.NAME)
    alone = stops_alone(system, claim)
    theirs = (*_vouched(known, subject.tenant, register, level, operation if alone else None), *names)
    told = confirmed(marked(system.may_hear(theirs), known), system.may_hear(known))
    shared = register.subscribed(known, subject.tenant, level) if register else ()
    # Whoever says whose a number is finds the account: what is stated besides adds nothing to that.
    asked = [i for i in heard if i.type not in NUMBERS or (register and not _is_contact(i))]
    lacks = _lacking(asked, (*told, *shared), needs, level)
    told, left_out = _theirs_alone(system, operation, needs, told)
    if left_out:
        lacks = lacks or Unsearched.HELD_BY_OTHERS
    passed_on = () if operation in NOTIFICATIONS or system.heeds_periods else ended(told)
    told = tuple(each for each in told if each not in passed_on)
    # Marketing is stopped by what they are reached by today: what they are not is no part of their objection.
    if operation in OF_ONE_PERSON and any(each.type in needs for each in passed_on):
        lacks = lacks or Unsearched.NO_LONGER_THEIRS
    if operation is Operation.LIFT and lacks in DONE_BY_HAND and not any(each.type in needs for each in told):
        name = system.name
        raise NotSupported(f"{name} would be searched by what others have, or may have: lift there by hand")
    left = {number_of(each) for each in shared if each.type in needs} - {number_of(each) for each in told}
    if lacks is None and left and operation is not Operation.LOCATE:
        lacks = Unsearched.LINE_SHARED
    gone = register.not_theirs(known, theirs) if register and _follows(system, claim) else ()
    if not needs or gone or any(each.type in needs for each in told):
        return Search(told, level, lacks, gone)
    if _proof_would_help(identities, subject.tenant, needs, level, register):
        lacks = Unsearched.NOT_PROVED
    elif lacks is None and left:
        lacks = Unsearched.LINE_SHARED
    another = NUMBERS & needs and any(i.type in NUMBERS and i.level >= level for i in {*identities} - {*known})
    nothing = Unsearched.NUMBER_OF_ANOTHER_KIND if another else lacking(needs)
    nothing = Unsearched.NO_LONGER_THEIRS if passed_on else nothing
    return Search(told, level, lacks or nothing, impossible=True)


def yielded(system: Downstream, told: Iterable[Identity], level: Level) -> tuple[Identity, ...]:
    """What a system has told of somebody: as well proved as that by which they were found.

    An account is no more than a claim where the system does not assign accounts: whoever writes there may name any.
    """
    claims = {IdentityType.ACCOUNT_ID} if not system.assigns else set()
    return tuple(replace(each, level=level, claimed=each.type in claims) for each in told)


def _led_to(task: Task, yielded: tuple[Identity, ...]) -> tuple[Identity, ...]:
    """What somebody is known by from now on: of several customers of one address whose marketing stops, the accounts.

    How else each of them is reached is no part of what one of them objects to.
    """
    accounts = [each for each in yielded if each.type is IdentityType.ACCOUNT_ID]
    several = {each.value for each in (*task.identities, *accounts) if each.type is IdentityType.ACCOUNT_ID}
    return tuple(accounts) if task.stops_marketing and len(several) > 1 else yielded


def unstated(identities: Iterable[Identity]) -> list[Identity]:
    """The addresses and numbers that the person has not stated: some system says that they are theirs."""
    known = [*identities]
    stated = {(each.type, each.value) for each in known if each.source == _REQUESTER}
    return [i for i in known if i.type in CONTACT_POINTS and (i.type, i.value) not in stated]


def heeded(system: Downstream, claim: Asked, subject: Known) -> tuple[Identity, ...]:
    """By what that system may be searched where marketing is to stop.

    Where it knows people by accounts, what is stated, or the account, finds whoever has stated it, and what systems
    have told beside it might find another; else an address that they have told is taken before a number.
    """
    stops = claim.fulfils == Operation.SUPPRESS and claim.step.operation in {Operation.LOCATE, Operation.SUPPRESS}
    if not stops or claim.repair or not claim.searches:
        return subject.identities
    told = unstated(subject.identities)
    left_out = [each for each in told if each.shared and not system.capable.tells_holders_apart]
    if IdentityType.ACCOUNT_ID in system.needs | system.yields:
        own = [each for each in system.may_hear(subject.identities) if each not in told and each.type in system.needs]
        kinds = {each.type for each in own if each.type is not IdentityType.NAME}
        first = next((kind for kind in CONTACT_POINTS if any(each.type is kind for each in told)), None)
        left_out += [each for each in told if kinds or each.type is not first]
    return tuple(each for each in subject.identities if each not in left_out)


def _of_several(gone: Iterable[Identity], left: Iterable[Identity], needs: Collection[IdentityType]) -> bool:
    """Whether nothing is left to search by, and what several people have would have been something."""
    return any(each.shared and each.type in needs for each in gone) and not any(each.type in needs for each in left)


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
        return None if system.capable.corrects else Receipt(task_id, TaskOutcome.NOT_HELD)
    if named & system.capable.stated:
        return None
    if categories := ", ".join(sorted(named & system.categories)):
        return NotSupported(
            f"{system.name} holds {categories}, and keeps no statements beside it: see to it by hand that the subject's"
            " statement stands with the record, and enter what was done"
        )
    return Receipt(task_id, TaskOutcome.NOT_HELD)


def _theirs_alone(
    system: Downstream, operation: Operation, needs: Collection[IdentityType], told: Sequence[Identity]
) -> tuple[tuple[Identity, ...], bool]:
    """What of that no other person has, or may have; and whether a person must look since the rest is not told.

    Whoever assigns accounts need not be told one that others claim: it finds whose it is by what is known besides.
    """
    shared = [
        each for each in told if each.shared and operation in OF_ONE_PERSON and not system.capable.tells_holders_apart
    ]
    claimed = [each for each in told if each.claimed and not system.weighs_claims]
    asks = operation not in NOTIFICATIONS and not system.assigns and any(each.type in needs for each in claimed)
    return tuple(each for each in told if each not in shared and each not in claimed), bool(shared) or asks


def _proof_would_help(
    identities: Iterable[Identity],
    tenant: str | None,
    needs: Collection[IdentityType],
    level: Level,
    register: Register | None,
) -> bool:
    """Whether a system could be searched, or an account be found by which it could, if more were proved.

    By what is proved as well as the best others were asked already, whatever more is proved of it.
    """
    known = [each for each in identities if each.type is not IdentityType.NAME]
    best = highest(known)
    if best >= level:
        return False
    if best == NOTHING or any(each.level < best for each in known if each.source == _REQUESTER):
        return True
    try:
        vouched = _vouched(known, tenant, register, NOTHING)
    except AssignmentInDoubt:
        return True
    return any(each.type in needs for each in vouched)


def filed_by(needs: Collection[IdentityType], identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """What is known of a subject without numbers and SIP users where a system files by none of that kind.

    Whose those are is no matter there, and no doubt about them either.
    """
    return tuple(each for each in identities if each.type not in NUMBERS or each.type in needs)


def stops_alone(system: Downstream, claim: Asked) -> bool:
    """Whether a request's work in a system stops marketing, or locates for that, and this erases nothing."""
    erases = not claim.at_once and bool(ending(system, claim.details))
    return claim.fulfils == Operation.SUPPRESS and claim.details.get("marketing") is not False and not erases


def by_register(system: Downstream, claim: Asked, subject: Known) -> tuple[Identity, ...]:
    """What is known of a subject of which a search there heeds what the register says of its time."""
    known = filed_by(system.needs, subject.identities)
    alone = claim.step.operation is Operation.SUPPRESS and stops_alone(system, claim)
    return without_stated(known) if alone else known


def _follows(system: Downstream, claim: Asked) -> bool:
    """Whether a system keeps the periods of restricted numbers, which then end when the register says so."""
    return claim.step.operation is Operation.RESTRICT and system.capable.keeps_periods and claim.repair


def _vouched(
    known: Sequence[Identity],
    tenant: str | None,
    register: Register | None,
    level: Level,
    alone: Operation | None = None,
) -> tuple[Identity, ...]:
    """What is proved to that level, numbers as the register vouches for them.

    ``alone``: the operation, where it stops marketing and nothing else, or locates for that.
    """
    by = {Operation.SUPPRESS: stopped_by, Operation.LOCATE: located_by}.get(alone) if alone else None
    if register is None:
        theirs = proved(known, level)
    else:
        theirs = by(register, known, tenant, level) if by else register.vouched(known, tenant, level)
    return tuple(each for each in theirs if each.type is not IdentityType.NAME)


def _lacking(
    heard: Iterable[Identity], told: Iterable[Identity], needs: Collection[IdentityType], level: Level
) -> Unsearched | None:
    """Why it is not searched by all that is known of the subject."""
    left = {(each.type, each.value) for each in told if each.type in needs}
    missing = [each for each in heard if (each.type, each.value) not in left]
    if any(each.type in NUMBERS for each in missing):
        return Unsearched.NUMBER_NOT_VOUCHED_FOR
    return Unsearched.NOT_PROVED if any(each.level < level for each in missing) else None


def _is_contact(number: Identity) -> bool:
    """Whether a system gives a number as a contact alone: it says of no time that the number was theirs."""
    return number.source != "requester" and number.valid_from is None and number.valid_to is None


def with_coverage(system: Downstream, task: Task, result: Result, search: Search, *, narrowed: bool) -> Result:
    """A receipt with what was searched, by what and by what not; what it yields is as well proved as that.

    A change in place concerns a part of what was found: of the rest it says nothing. ``narrowed``: the requester's own
    dates leave out what is theirs. Of an erasure that part could never be found again, so a person is asked about it.
    """
    if not isinstance(result, Receipt):
        return result
    said: dict[str, Any] = {}
    if result.identities:
        said["identities"] = _led_to(task, yielded(system, result.identities, search.level))
    if task.operation in _SEARCHING and result.outcome is not TaskOutcome.NOT_HELD:
        if search.lacks and result.not_searched is None:
            said |= {"not_searched": search.lacks, "level": search.lacks_proof_to}
        elif narrowed and task.operation is Operation.ERASE and result.not_searched is None:
            said["not_searched"] = Unsearched.NUMBER_NARROWED
        said["narrowed"] = narrowed or result.narrowed
        said["searched_by"] = tuple(sorted({each.type for each in task.identities} - _UNSEARCHED_BY))
        whole = task.operation in _OF_EVERYTHING or result.outcome is TaskOutcome.NO_MATCH
        said["categories"] = (result.categories or system.capable.categories or None) if whole else None
    return replace(result, **said) if said else result


def is_narrowed(system: Downstream, claim: Asked, subject: Known, register: Register | None, level: Level) -> bool:
    """Whether it was searched for less than is theirs.

    What yields identities knows a person as a whole; what knows no times is searched for all of a number.
    """
    knows_times = NUMBERS & system.needs and system.capable.knows_times and not system.yields
    if register is None or not knows_times or claim.step.operation not in ANSWERING:
        return False
    return register.narrowed(by_register(system, claim, subject), subject.tenant, level)


def disputed(
    system: Downstream, claim: Asked, subject: Known, register: Register | None, edge: timedelta
) -> Sequence[Conflict]:
    """Where the register contradicts what systems say of a number that this one is searched by."""
    searches = claim.searches and claim.step.operation in ANSWERING and NUMBERS & system.needs
    if register is None or not searches or not system.tells_apart(subject.tenant):
        return ()
    return conflicts_of(register, by_register(system, claim, subject), edge, subject.tenant)


def lacks_account(result: Result) -> bool:
    """Whether it, or a part of it, was not searched since no account is known."""
    reason = result.reason if isinstance(result, NotSearched) else getattr(result, "not_searched", None)
    return reason is Unsearched.NO_ACCOUNT


def without_account(system: Downstream, result: Result) -> Result:
    """The result where every system that would have told an account has none: nothing is filed by one there."""
    categories = system.capable.categories
    if isinstance(result, NotSearched):
        held = tuple(sorted(categories)) or None
        return Receipt(result.task_id, TaskOutcome.NO_MATCH, categories=held, no_account=held)
    if not isinstance(result, Receipt):
        return result
    unsearched = result.by_account or tuple(sorted({*categories} - {*(result.categories or categories)}))
    return replace(result, not_searched=None, no_account=unsearched or None)


def in_conflict(result: Result) -> Result:
    """A result of which it is said that a part was not searched, since nobody knows whose it is.

    Where it is not proved yet who asks, that comes first.
    """
    if isinstance(result, NotSearched) and result.reason is not Unsearched.NOT_PROVED:
        return replace(result, reason=Unsearched.NUMBER_IN_CONFLICT)
    if isinstance(result, Receipt) and result.outcome is not TaskOutcome.NOT_HELD:
        return replace(result, not_searched=Unsearched.NUMBER_IN_CONFLICT, level=None)
    return result


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
