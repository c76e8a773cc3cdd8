"""By which of a subject's identities a system is searched: only by such as are proved as well as that needs (REQ-S1).

Pure. What is proved less well finds nobody, and narrows: a name checks a hit, a period that is stated cuts another.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import JsonValue

from shared.domain.assignments import NUMBERS, AssignmentInDoubt, Register, lacking, number_of
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType, confirmed, ended, marked
from shared.domain.levels import NOTHING, Level
from shared.domain.operations import DONE_BY_HAND, NOTIFICATIONS, OF_ONE_PERSON, Operation, TaskOutcome, Unsearched
from shared.domain.proofs import action_of, highest, proved, restricts
from shared.domain.rights import Right
from shared.domain.stopping import located_by, stopped_by, without_stated
from shared.fulfilment.queue import Claim
from shared.storage.subject_data import SubjectData
from shared.systems.contract import NotSearched, Receipt, Result
from shared.systems.downstream import Downstream


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


def search(
    system: Downstream, operation: Operation, claim: Claim, subject: SubjectData, register: Register | None
) -> Search:
    """By what that system is searched for a task.

    What a system yields is known as well as that by which it was searched, so it is asked by the best there is.

    What others have too (a family's address) is no more than a hint to a system that does not check whose its hits are.
    An account that is only claimed is told to nobody who does not weigh whose the rows are that it finds.
    What was theirs until a day is somebody else's, perhaps, to a system that does not know of what time its data is.
    Marketing stops by the numbers that are stated, whatever the register says of them.

    Raises:
        AssignmentInDoubt: the register does not tell whose a number is
        NotSupported: a restriction is to be lifted where it could be found alone by what others have, or may have
    """
    needs = system.needs if claim.searches else frozenset[IdentityType]()
    known = filed_by(needs, subject.identities)
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
    gone = register.not_theirs(known, theirs) if register and _follows(system, operation, claim) else ()
    if not needs or gone or any(each.type in needs for each in told):
        return Search(told, level, lacks, gone)
    if _proof_would_help(subject, needs, level, register):
        lacks = Unsearched.NOT_PROVED
    elif lacks is None and left:
        lacks = Unsearched.LINE_SHARED
    another = NUMBERS & needs and any(i.type in NUMBERS and i.level >= level for i in {*subject.identities} - {*known})
    nothing = Unsearched.NUMBER_OF_ANOTHER_KIND if another else lacking(needs)
    nothing = Unsearched.NO_LONGER_THEIRS if passed_on else nothing
    return Search(told, level, lacks or nothing, impossible=True)


def yielded(system: Downstream, told: Iterable[Identity], level: Level) -> tuple[Identity, ...]:
    """What a system has told of somebody: as well proved as that by which they were found.

    An account is no more than a claim where the system does not assign accounts: whoever writes there may name any.
    """
    claims = {IdentityType.ACCOUNT_ID} if not system.assigns else set()
    return tuple(replace(each, level=level, claimed=each.type in claims) for each in told)


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
    subject: SubjectData, needs: Collection[IdentityType], level: Level, register: Register | None
) -> bool:
    """Whether a system could be searched, or an account be found by which it could, if more were proved.

    By what is proved as well as the best others were asked already, whatever more is proved of it.
    """
    known = [each for each in subject.identities if each.type is not IdentityType.NAME]
    best = highest(known)
    if best >= level:
        return False
    if best == NOTHING or any(each.level < best for each in known if each.source == "requester"):
        return True
    try:
        vouched = _vouched(known, subject.tenant, register, NOTHING)
    except AssignmentInDoubt:
        return True
    return any(each.type in needs for each in vouched)


def filed_by(needs: Collection[IdentityType], identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """What is known of a subject without numbers and SIP users where a system files by none of that kind.

    Whose those are is no matter there, and no doubt about them either.
    """
    return tuple(each for each in identities if each.type not in NUMBERS or each.type in needs)


def stops_alone(system: Downstream, claim: Claim) -> bool:
    """Whether a request's work in a system stops marketing, or locates for that, and this erases nothing."""
    erases = not claim.at_once and bool(ending(system, claim.details))
    return claim.fulfils == Operation.SUPPRESS and claim.details.get("marketing") is not False and not erases


def by_register(system: Downstream, operation: Operation, claim: Claim, subject: SubjectData) -> tuple[Identity, ...]:
    """What is known of a subject of which a search there heeds what the register says of its time."""
    known = filed_by(system.needs, subject.identities)
    return without_stated(known) if operation is Operation.SUPPRESS and stops_alone(system, claim) else known


def _follows(system: Downstream, operation: Operation, claim: Claim) -> bool:
    """Whether a system keeps the periods of restricted numbers, which then end when the register says so."""
    return operation is Operation.RESTRICT and system.capable.keeps_periods and claim.repair


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


def lacking_something(result: Receipt, search: Search) -> Receipt:
    """A receipt with why not all was searched by."""
    if search.lacks and result.not_searched is None:
        return replace(result, not_searched=search.lacks, level=search.lacks_proof_to)
    return result


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
