"""Decides by which identities a system is searched, or why it is not asked; pure (REQ-S1).

A system is searched by identities that are proved to the level that its data require. Identities proved less well are
not searched by; they only narrow: a name checks a hit, a stated period shortens another.

For an objection or a withdrawal of consent a system is searched by what the requester has stated. An address or number
found in their record may belong to a household, and an account may be named in a stranger's ticket. So identities that
systems have yielded are used only where no stated identity applies, and a person handles what remains in doubt
(Art. 21(3)).
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
"""Contact points, which several people may share; the most specific first."""


class Asked(Protocol):
    """A task whose identities are not chosen yet, with the facts of its request."""

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
    def immediate(self) -> bool: ...
    @property
    def repair(self) -> bool: ...


class Known(Protocol):
    """The identities and corrections of a subject."""

    @property
    def identities(self) -> tuple[Identity, ...]: ...
    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def tenant(self) -> str | None: ...


@dataclass(slots=True)
class Search:
    """Identities to search by, each proved to ``level``; ``lacks``: why some known identities are left out.

    ``not_theirs``: numbers that by the register were never the subject's (repairs in systems that keep periods).
    ``impossible``: no identity can be used. ``ignored``: known identities that must find nothing.
    """

    identities: tuple[Identity, ...]
    level: Level = NOTHING
    lacks: Unsearched | None = None
    not_theirs: tuple[Identity, ...] = ()
    impossible: bool = False
    ignored: tuple[Identity, ...] = ()

    @property
    def lacks_proof_to(self) -> Level | None:
        """The level to which the missing identities must be proved."""
        return self.level if self.lacks is Unsearched.NOT_PROVED else None


def asked(system: Downstream, claim: Asked, subject: Known, register: Register | None) -> Search | Result:
    """Returns the identities to search the system by, or the result of a task that is not sent to it."""
    operation = claim.step.operation
    if claim.searches and not system.tells_apart(subject.tenant):
        return NotSupported(f"{system.name} does not tell the data of our customers apart")
    beyond = None if claim.immediate else by_hand(system, operation, subject.tenant, claim.details)
    if said := beyond or not_asked(system, operation, claim.task_id, subject.changes):
        return said
    allowed = heeded(system, claim, subject)
    gone = tuple(each for each in subject.identities if each not in allowed)
    if gone and _of_several(gone, allowed, system.needs):
        return NotSearched(claim.task_id, Unsearched.SHARED_IDENTIFIER)
    try:
        found = search(system, claim, subject, register, allowed if gone else None)
    except (AssignmentInDoubt, NotSupported) as doubt:
        return doubt
    if found.impossible and found.lacks:
        return NotSearched(claim.task_id, found.lacks, found.lacks_proof_to)
    found.ignored = gone
    return found


def search(
    system: Downstream,
    claim: Asked,
    subject: Known,
    register: Register | None,
    allowed: tuple[Identity, ...] | None = None,
) -> Search:
    """Returns the identities to search the system by; ``allowed``: the subject's identities that may be used.

    Yielded identities count as proved as well as the identity that found them, so the best-proved ones are used.
    A shared identity (a family's address) is left out for a system that does not check the owner of a hit. A claimed
    account is left out for a system that does not compare owners. A former number is left out for a system that does
    not know the time of its data. Marketing stops by stated numbers, whatever the register says.

    Raises:
        AssignmentInDoubt: the register does not say who had a number
        NotSupported: a restriction could be lifted only by identities that others share
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
    accepted = [each for each in system.may_receive(known) if each.type in needs]
    if operation is Operation.LOCATE:
        level = max(level, highest(accepted))
    names = tuple(each for each in known if each.type is IdentityType.NAME)
    alone = stops_alone(system, claim)
    theirs = (*_vouched(known, subject.tenant, register, level, operation if alone else None), *names)
    usable = confirmed(marked(system.may_receive(theirs), known), system.may_receive(known))
    shared = register.subscribed(known, subject.tenant, level) if register else ()
    # A number that the register assigns finds the account; stated contacts add nothing to it.
    asked = [i for i in accepted if i.type not in NUMBERS or (register and not _is_contact(i))]
    lacks = _lacking(asked, (*usable, *shared), needs, level)
    usable, left_out = _theirs_alone(system, operation, needs, usable)
    if left_out:
        lacks = lacks or Unsearched.SHARED_IDENTIFIER
    passed_on = () if operation in NOTIFICATIONS or system.heeds_periods else ended(usable)
    usable = tuple(each for each in usable if each not in passed_on)
    # Marketing is stopped by the contact points of today; former ones are not part of the objection.
    if operation in OF_ONE_PERSON and any(each.type in needs for each in passed_on):
        lacks = lacks or Unsearched.NO_LONGER_THEIRS
    if operation is Operation.LIFT and lacks in DONE_BY_HAND and not any(each.type in needs for each in usable):
        name = system.name
        raise NotSupported(f"{name} would be searched by what others have, or may have: lift there by hand")
    left = {number_of(each) for each in shared if each.type in needs} - {number_of(each) for each in usable}
    if lacks is None and left and operation is not Operation.LOCATE:
        lacks = Unsearched.LINE_SHARED
    gone = register.not_theirs(known, theirs) if register and _follows(system, claim) else ()
    if not needs or gone or any(each.type in needs for each in usable):
        return Search(usable, level, lacks, gone)
    if _proof_would_help(identities, subject.tenant, needs, level, register):
        lacks = Unsearched.NOT_PROVED
    elif lacks is None and left:
        lacks = Unsearched.LINE_SHARED
    another = NUMBERS & needs and any(i.type in NUMBERS and i.level >= level for i in {*identities} - {*known})
    nothing = Unsearched.NUMBER_OF_ANOTHER_KIND if another else lacking(needs)
    nothing = Unsearched.NO_LONGER_THEIRS if passed_on else nothing
    return Search(usable, level, lacks or nothing, impossible=True)


def yielded(system: Downstream, found: Iterable[Identity], level: Level) -> tuple[Identity, ...]:
    """Returns yielded identities, proved to the level of the identity that found them.

    An account is only a claim where the system does not assign accounts, since a writer may name any account there.
    """
    claims = {IdentityType.ACCOUNT_ID} if not system.assigns else set()
    return tuple(replace(each, level=level, claimed=each.type in claims) for each in found)


def _led_to(task: Task, yielded: tuple[Identity, ...]) -> tuple[Identity, ...]:
    """Returns the identities that become known; where one address has several customers, their accounts alone.

    The other contact points of those customers are not part of the objection.
    """
    accounts = [each for each in yielded if each.type is IdentityType.ACCOUNT_ID]
    several = {each.value for each in (*task.identities, *accounts) if each.type is IdentityType.ACCOUNT_ID}
    return tuple(accounts) if task.stops_marketing and len(several) > 1 else yielded


def unstated(identities: Iterable[Identity]) -> list[Identity]:
    """Returns the addresses and numbers that a system has yielded and the person has not stated."""
    known = [*identities]
    stated = {(each.type, each.value) for each in known if each.source == _REQUESTER}
    return [i for i in known if i.type in CONTACT_POINTS and (i.type, i.value) not in stated]


def heeded(system: Downstream, claim: Asked, subject: Known) -> tuple[Identity, ...]:
    """Returns the identities by which a system may be searched to stop marketing.

    Where the system has accounts, stated identities or the account find the requester, and yielded ones might find
    another person. Otherwise a yielded address is preferred to a yielded number.
    """
    stops = claim.fulfils == Operation.SUPPRESS and claim.step.operation in {Operation.LOCATE, Operation.SUPPRESS}
    if not stops or claim.repair or not claim.searches:
        return subject.identities
    yielded_only = unstated(subject.identities)
    left_out = [each for each in yielded_only if each.shared and not system.capable.tells_holders_apart]
    if IdentityType.ACCOUNT_ID in system.needs | system.yields:
        own = [
            each
            for each in system.may_receive(subject.identities)
            if each not in yielded_only and each.type in system.needs
        ]
        kinds = {each.type for each in own if each.type is not IdentityType.NAME}
        first = next((kind for kind in CONTACT_POINTS if any(each.type is kind for each in yielded_only)), None)
        left_out += [each for each in yielded_only if kinds or each.type is not first]
    return tuple(each for each in subject.identities if each not in left_out)


def _of_several(gone: Iterable[Identity], left: Iterable[Identity], needs: Collection[IdentityType]) -> bool:
    """Whether only identities that several people share could have been searched by."""
    return any(each.shared and each.type in needs for each in gone) and not any(each.type in needs for each in left)


def not_asked(
    system: Downstream, operation: Operation, task_id: UUID, changes: Sequence[Change]
) -> Receipt | NotSupported | None:
    """Returns the result of a correction that does not concern a system, or that a person makes there; else None.

    Decided before any search, so that no proof is requested for it.
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
            f"{system.name} holds {categories}, and stores no statements with it: store the subject's"
            " statement there by hand, and enter what was done"
        )
    return Receipt(task_id, TaskOutcome.NOT_HELD)


def _theirs_alone(
    system: Downstream, operation: Operation, needs: Collection[IdentityType], usable: Sequence[Identity]
) -> tuple[tuple[Identity, ...], bool]:
    """Returns the identities that no other person shares, and whether a person must check because others were left out.

    A system that assigns accounts needs no claimed account: it finds the account by the other identities.
    """
    shared = [
        each for each in usable if each.shared and operation in OF_ONE_PERSON and not system.capable.tells_holders_apart
    ]
    claimed = [each for each in usable if each.claimed and not system.weighs_claims]
    asks = operation not in NOTIFICATIONS and not system.assigns and any(each.type in needs for each in claimed)
    return tuple(each for each in usable if each not in shared and each not in claimed), bool(shared) or asks


def _proof_would_help(
    identities: Iterable[Identity],
    tenant: str | None,
    needs: Collection[IdentityType],
    level: Level,
    register: Register | None,
) -> bool:
    """Whether better proof would allow a search, or the search of another system that yields an account.

    Systems that accept the best level reached so far have been searched already.
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
    """Returns the identities without numbers and SIP users of kinds by which the system does not file.

    Doubt about the owner of such a number does not matter there.
    """
    return tuple(each for each in identities if each.type not in NUMBERS or each.type in needs)


def stops_alone(system: Downstream, claim: Asked) -> bool:
    """Whether the task stops marketing, or locates for it, and erases nothing."""
    erases = not claim.immediate and bool(ending(system, claim.details))
    return claim.fulfils == Operation.SUPPRESS and claim.details.get("marketing") is not False and not erases


def by_register(system: Downstream, claim: Asked, subject: Known) -> tuple[Identity, ...]:
    """Returns the identities whose periods a search there takes from the register."""
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
    """Returns the identities proved to a level, numbers only as the register confirms them.

    ``alone``: the operation, where it only stops marketing, or locates for it.
    """
    by = {Operation.SUPPRESS: stopped_by, Operation.LOCATE: located_by}.get(alone) if alone else None
    if register is None:
        theirs = proved(known, level)
    else:
        theirs = by(register, known, tenant, level) if by else register.vouched(known, tenant, level)
    return tuple(each for each in theirs if each.type is not IdentityType.NAME)


def _lacking(
    accepted: Iterable[Identity], usable: Iterable[Identity], needs: Collection[IdentityType], level: Level
) -> Unsearched | None:
    """Returns why some known identities are not searched by."""
    left = {(each.type, each.value) for each in usable if each.type in needs}
    missing = [each for each in accepted if (each.type, each.value) not in left]
    if any(each.type in NUMBERS for each in missing):
        return Unsearched.NUMBER_NOT_VOUCHED_FOR
    return Unsearched.NOT_PROVED if any(each.level < level for each in missing) else None


def _is_contact(number: Identity) -> bool:
    """Whether a system yielded a number as a contact only, without a period of assignment."""
    return number.source != "requester" and number.valid_from is None and number.valid_to is None


def with_coverage(system: Downstream, task: Task, result: Result, search: Search, *, narrowed: bool) -> Result:
    """Returns the receipt with its coverage: the categories searched, by which identities, and what was not searched.

    ``narrowed``: the dates that the requester stated leave out records of theirs. After an erasure those records could
    never be found again, so a person is asked.
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
    """Whether stated dates left out a part of the subject's records.

    A system that yields identities knows the whole person, and one without times is searched for all of a number.
    """
    knows_times = NUMBERS & system.needs and system.capable.knows_times and not system.yields
    if register is None or not knows_times or claim.step.operation not in ANSWERING:
        return False
    return register.narrowed(by_register(system, claim, subject), subject.tenant, level)


def disputed(
    system: Downstream, claim: Asked, subject: Known, register: Register | None, edge: timedelta
) -> Sequence[Conflict]:
    """Returns where the register contradicts systems about a number that this system is searched by."""
    searches = claim.searches and claim.step.operation in ANSWERING and NUMBERS & system.needs
    if register is None or not searches or not system.tells_apart(subject.tenant):
        return ()
    return conflicts_of(register, by_register(system, claim, subject), edge, subject.tenant)


def lacks_account(result: Result) -> bool:
    """Whether the system, or a part of it, was not searched because no account is known."""
    reason = result.reason if isinstance(result, NotSearched) else getattr(result, "not_searched", None)
    return reason is Unsearched.NO_ACCOUNT


def without_account(system: Downstream, result: Result) -> Result:
    """Returns the result where no system has an account of the subject: none of its records is filed by one."""
    categories = system.capable.categories
    if isinstance(result, NotSearched):
        held = tuple(sorted(categories)) or None
        return Receipt(result.task_id, TaskOutcome.NO_MATCH, categories=held, no_account=held)
    if not isinstance(result, Receipt):
        return result
    unsearched = result.by_account or tuple(sorted({*categories} - {*(result.categories or categories)}))
    return replace(result, not_searched=None, no_account=unsearched or None)


def in_conflict(result: Result) -> Result:
    """Returns the result marked as not searched in part, because the owner of a number is disputed.

    Missing proof of the requester's identity takes precedence.
    """
    if isinstance(result, NotSearched) and result.reason is not Unsearched.NOT_PROVED:
        return replace(result, reason=Unsearched.NUMBER_IN_CONFLICT)
    if isinstance(result, Receipt) and result.outcome is not TaskOutcome.NOT_HELD:
        return replace(result, not_searched=Unsearched.NUMBER_IN_CONFLICT, level=None)
    return result


def by_hand(
    system: Downstream, operation: Operation, tenant: str | None, details: Mapping[str, JsonValue]
) -> NotSupported | None:
    """Returns why a person must do the task by hand, if they must; ``details``: those of the task.

    A system that only deletes is not asked where the policy keeps, restricts or anonymises. Nor is a system whose state
    (such as an open invoice) the policy needs and nothing declares.

    A withdrawn consent ends data only where a system can erase one category and leave the rest. Data held for other
    reasons stay, and no system knows their use. Locating never needs a person.
    """
    if operation is Operation.LOCATE:
        return None
    if operation in {Operation.ERASE, Operation.PLAN} and tenant is None and system.left:
        left = "; it ".join(system.left)
        return NotSupported(f"{system.name} {left}: erase there by hand what may go, and enter that")
    goes, concerns = ending(system, details), _held(system, details.get("concerns"))
    if goes and not system.capable.erases_by_category:
        return NotSupported(
            f"{system.name} cannot erase {goes} alone: erase there by hand what is theirs, once no access or"
            " portability of theirs is open and no legal hold or restriction keeps it, and enter what was done"
        )
    if concerns:
        return NotSupported(
            f"{system.name} holds {concerns} for other reasons too: make sure by hand that it is not used for what they"
            " had consented to, and enter that"
        )
    return None


def ending(system: Downstream, details: Mapping[str, JsonValue]) -> str:
    """Returns the categories of a system that end with a withdrawn consent, as text; empty for none."""
    return ", ".join(sorted(ends(system, details)))


def ends(system: Downstream, details: Mapping[str, JsonValue]) -> frozenset[str]:
    """Returns the categories of a system that end with a withdrawn consent."""
    named = details.get("ends")
    return system.categories & {str(each) for each in named} if isinstance(named, list) else frozenset()


def _held(system: Downstream, named: JsonValue) -> str:
    held = {str(each) for each in named} if isinstance(named, list) else set[str]()
    return ", ".join(sorted(system.categories & held))
