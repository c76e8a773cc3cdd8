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
    Register,
    RegisterConflict,
    conflicts_of,
    lacking,
    number_of,
    numbers_to_locate,
    numbers_to_stop,
    without_stated,
)
from shared.domain.errors import NotSupported
from shared.domain.identities import Identity, IdentityType, confirmed_accounts, ended_identities, marked_as_shared
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
from shared.domain.proofs import action_of, highest_level, proved, restricts
from shared.domain.rights import NOTHING, Level, Right
from shared.systems.contract import NotSearched, Receipt, Result, Task
from shared.systems.downstream import Downstream

_REQUESTER: Final = "requester"
_NEVER_SEARCHED_BY: Final = frozenset({IdentityType.NAME})
_WHOLE_SYSTEM: Final = frozenset({Operation.EXPORT, Operation.ERASE, Operation.PLAN})
_SEARCHING: Final = ANSWERING | {Operation.PLAN}
CONTACT_POINTS: Final = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI)
"""Contact points, which several people may share; the most specific first."""


class TaskContext(Protocol):
    """A task and the facts of its request, before its identities are selected."""

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


class KnownSubject(Protocol):
    """The identities and corrections of a subject."""

    @property
    def identities(self) -> tuple[Identity, ...]: ...
    @property
    def changes(self) -> tuple[Change, ...]: ...
    @property
    def tenant(self) -> str | None: ...


@dataclass(slots=True)
class IdentitySelection:
    """Identities to search by, each proved to ``level``; ``missing``: why some known identities are left out.

    ``not_theirs``: numbers that by the register were never the subject's (repairs in systems that keep periods).
    ``nothing_usable``: no identity can be used. ``ignored``: known identities that must find nothing.
    """

    identities: tuple[Identity, ...]
    level: Level = NOTHING
    missing: Unsearched | None = None
    not_theirs: tuple[Identity, ...] = ()
    nothing_usable: bool = False
    ignored: tuple[Identity, ...] = ()

    @property
    def missing_level(self) -> Level | None:
        """The level to which the missing identities must be proved."""
        return self.level if self.missing is Unsearched.NOT_PROVED else None


def select_identities(
    system: Downstream, task: TaskContext, subject: KnownSubject, register: Register | None
) -> IdentitySelection | Result:
    """Returns the identities to search the system by, or the result of a task that is not sent to it."""
    operation = task.step.operation
    if task.searches and not system.separates_tenant(subject.tenant):
        return NotSupported(f"{system.name} does not tell the data of our customers apart")
    manual = None if task.immediate else manual_reason(system, operation, subject.tenant, task.details)
    if result := manual or result_without_search(system, operation, task.task_id, subject.changes):
        return result
    allowed = allowed_identities(system, task, subject)
    ignored = tuple(each for each in subject.identities if each not in allowed)
    if ignored and _are_all_shared(ignored, allowed, system.needs):
        return NotSearched(task.task_id, Unsearched.SHARED_IDENTIFIER)
    try:
        found = select_proved_identities(system, task, subject, register, allowed if ignored else None)
    except (AssignmentInDoubt, NotSupported) as doubt:
        return doubt
    if found.nothing_usable and found.missing:
        return NotSearched(task.task_id, found.missing, found.missing_level)
    found.ignored = ignored
    return found


def select_proved_identities(
    system: Downstream,
    task: TaskContext,
    subject: KnownSubject,
    register: Register | None,
    allowed: tuple[Identity, ...] | None = None,
) -> IdentitySelection:
    """Returns the identities to search the system by; ``allowed``: the subject's identities that may be used.

    Yielded identities count as proved as well as the identity that found them, so the best-proved ones are used.
    A shared identity (a family's address) is left out for a system that does not check the owner of a hit. A claimed
    account is left out for a system that does not compare owners. A former number is left out for a system that does
    not know the time of its data. Marketing stops by stated numbers, whatever the register says.

    Raises:
        AssignmentInDoubt: the register does not say who had a number
        NotSupported: a restriction could be lifted only by identities that others share
    """
    operation, identities = task.step.operation, subject.identities if allowed is None else allowed
    needs = system.needs if task.searches else frozenset[IdentityType]()
    candidates = searchable(needs, identities)
    if operation in NOTIFICATIONS or not task.searches:
        level = NOTHING
    else:
        right = Right(task.right)
        action = action_of(right, subject.changes, restricts=restricts(right, Operation(task.fulfils)))
        level = system.needed[action]
    accepted = [each for each in system.may_receive(candidates) if each.type in needs]
    if operation is Operation.LOCATE:
        level = max(level, highest_level(accepted))
    names = tuple(each for each in candidates if each.type is IdentityType.NAME)
    is_marketing_stop = only_stops_marketing(system, task)
    confirmed_identities = (
        *_confirmed(candidates, subject.tenant, register, level, operation if is_marketing_stop else None),
        *names,
    )
    usable = confirmed_accounts(
        marked_as_shared(system.may_receive(confirmed_identities), candidates), system.may_receive(candidates)
    )
    shared = register.subscribed(candidates, subject.tenant, level) if register else ()
    # A number that the register assigns finds the account; stated contacts add nothing to it.
    wanted = [i for i in accepted if i.type not in NUMBERS or (register and not _is_contact(i))]
    missing = _lacking(wanted, (*usable, *shared), needs, level)
    usable, left_out = _unshared(system, operation, needs, usable)
    if left_out:
        missing = missing or Unsearched.SHARED_IDENTIFIER
    passed_on = () if operation in NOTIFICATIONS or system.respects_periods else ended_identities(usable)
    usable = tuple(each for each in usable if each not in passed_on)
    # Marketing is stopped by the contact points of today; former ones are not part of the objection.
    if operation in OF_ONE_PERSON and any(each.type in needs for each in passed_on):
        missing = missing or Unsearched.NO_LONGER_THEIRS
    if operation is Operation.LIFT and missing in DONE_BY_HAND and not any(each.type in needs for each in usable):
        name = system.name
        raise NotSupported(f"{name} would be searched by what others have, or may have: lift there by hand")
    unsearched_lines = {number_of(each) for each in shared if each.type in needs} - {number_of(each) for each in usable}
    if missing is None and unsearched_lines and operation is not Operation.LOCATE:
        missing = Unsearched.LINE_SHARED
    never_theirs = (
        register.not_theirs(candidates, confirmed_identities) if register and _repairs_periods(system, task) else ()
    )
    if not needs or never_theirs or any(each.type in needs for each in usable):
        return IdentitySelection(usable, level, missing, never_theirs)
    if _proof_would_help(identities, subject.tenant, needs, level, register):
        missing = Unsearched.NOT_PROVED
    elif missing is None and unsearched_lines:
        missing = Unsearched.LINE_SHARED
    another = NUMBERS & needs and any(i.type in NUMBERS and i.level >= level for i in {*identities} - {*candidates})
    nothing = Unsearched.NUMBER_OF_ANOTHER_KIND if another else lacking(needs)
    nothing = Unsearched.NO_LONGER_THEIRS if passed_on else nothing
    return IdentitySelection(usable, level, missing or nothing, nothing_usable=True)


def with_level(system: Downstream, found: Iterable[Identity], level: Level) -> tuple[Identity, ...]:
    """Returns yielded identities, proved to the level of the identity that found them.

    An account is only a claim where the system does not assign accounts, since a writer may name any account there.
    """
    claims = {IdentityType.ACCOUNT_ID} if not system.assigns else set()
    return tuple(replace(each, level=level, claimed=each.type in claims) for each in found)


def _adopted(task: Task, yielded: tuple[Identity, ...]) -> tuple[Identity, ...]:
    """Returns the identities that become known; where one address has several customers, their accounts alone.

    The other contact points of those customers are not part of the objection.
    """
    accounts = [each for each in yielded if each.type is IdentityType.ACCOUNT_ID]
    several = {each.value for each in (*task.identities, *accounts) if each.type is IdentityType.ACCOUNT_ID}
    return tuple(accounts) if task.stops_marketing and len(several) > 1 else yielded


def unstated_contacts(identities: Iterable[Identity]) -> list[Identity]:
    """Returns the addresses and numbers that a system has yielded and the person has not stated."""
    known = [*identities]
    stated = {(each.type, each.value) for each in known if each.source == _REQUESTER}
    return [i for i in known if i.type in CONTACT_POINTS and (i.type, i.value) not in stated]


def allowed_identities(system: Downstream, task: TaskContext, subject: KnownSubject) -> tuple[Identity, ...]:
    """Returns the identities by which a system may be searched to stop marketing.

    Where the system has accounts, stated identities or the account find the requester, and yielded ones might find
    another person. Otherwise a yielded address is preferred to a yielded number.
    """
    stops = task.fulfils == Operation.SUPPRESS and task.step.operation in {Operation.LOCATE, Operation.SUPPRESS}
    if not stops or task.repair or not task.searches:
        return subject.identities
    yielded_only = unstated_contacts(subject.identities)
    left_out = [each for each in yielded_only if each.shared and not system.capabilities.distinguishes_holders]
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


def _are_all_shared(ignored: Iterable[Identity], allowed: Iterable[Identity], needs: Collection[IdentityType]) -> bool:
    """Whether only identities that several people share could have been searched by."""
    return any(each.shared and each.type in needs for each in ignored) and not any(
        each.type in needs for each in allowed
    )


def result_without_search(
    system: Downstream, operation: Operation, task_id: UUID, changes: Sequence[Change]
) -> Receipt | NotSupported | None:
    """Returns the result of a correction that does not concern a system, or that a person makes there; else None.

    Decided before any search, so that no proof is requested for it.
    """
    if operation is not Operation.RECTIFY or not changes:
        return None
    named = {change.record.category for change in changes if change.record}
    if not named:
        return None if system.capabilities.may_need_correction else Receipt(task_id, TaskOutcome.NOT_HELD)
    if named & system.capabilities.statement_categories:
        return None
    if categories := ", ".join(sorted(named & system.categories)):
        return NotSupported(
            f"{system.name} holds {categories}, and stores no statements with it: store the subject's"
            " statement there by hand, and enter what was done"
        )
    return Receipt(task_id, TaskOutcome.NOT_HELD)


def _unshared(
    system: Downstream, operation: Operation, needs: Collection[IdentityType], usable: Sequence[Identity]
) -> tuple[tuple[Identity, ...], bool]:
    """Returns the identities that no other person shares, and whether a person must check because others were left out.

    A system that assigns accounts needs no claimed account: it finds the account by the other identities.
    """
    shared = [
        each
        for each in usable
        if each.shared and operation in OF_ONE_PERSON and not system.capabilities.distinguishes_holders
    ]
    claimed = [each for each in usable if each.claimed and not system.checks_claimed_accounts]
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
    best = highest_level(known)
    if best >= level:
        return False
    if best == NOTHING or any(each.level < best for each in known if each.source == _REQUESTER):
        return True
    try:
        vouched = _confirmed(known, tenant, register, NOTHING)
    except AssignmentInDoubt:
        return True
    return any(each.type in needs for each in vouched)


def searchable(needs: Collection[IdentityType], identities: Iterable[Identity]) -> tuple[Identity, ...]:
    """Returns the identities without numbers and SIP users of kinds by which the system does not file.

    Doubt about the owner of such a number does not matter there.
    """
    return tuple(each for each in identities if each.type not in NUMBERS or each.type in needs)


def only_stops_marketing(system: Downstream, task: TaskContext) -> bool:
    """Whether the task stops marketing, or locates for it, and erases nothing."""
    erases = not task.immediate and bool(withdrawn_text(system, task.details))
    return task.fulfils == Operation.SUPPRESS and task.details.get("marketing") is not False and not erases


def identities_for_register(system: Downstream, task: TaskContext, subject: KnownSubject) -> tuple[Identity, ...]:
    """Returns the identities whose periods a search there takes from the register."""
    known = searchable(system.needs, subject.identities)
    is_marketing_stop = task.step.operation is Operation.SUPPRESS and only_stops_marketing(system, task)
    return without_stated(known) if is_marketing_stop else known


def _repairs_periods(system: Downstream, task: TaskContext) -> bool:
    """Whether a system keeps the periods of restricted numbers, which then end when the register says so."""
    return task.step.operation is Operation.RESTRICT and system.capabilities.restricts_by_period and task.repair


def _confirmed(
    known: Sequence[Identity],
    tenant: str | None,
    register: Register | None,
    level: Level,
    marketing_stop: Operation | None = None,
) -> tuple[Identity, ...]:
    """Returns the identities proved to a level, numbers only as the register confirms them.

    ``marketing_stop``: the operation, where it only stops marketing, or locates for it.
    """
    filter_by = (
        {Operation.SUPPRESS: numbers_to_stop, Operation.LOCATE: numbers_to_locate}.get(marketing_stop)
        if marketing_stop
        else None
    )
    if register is None:
        confirmed_identities = proved(known, level)
    else:
        confirmed_identities = (
            filter_by(register, known, tenant, level) if filter_by else register.vouched(known, tenant, level)
        )
    return tuple(each for each in confirmed_identities if each.type is not IdentityType.NAME)


def _lacking(
    accepted: Iterable[Identity], usable: Iterable[Identity], needs: Collection[IdentityType], level: Level
) -> Unsearched | None:
    """Returns why some known identities are not searched by."""
    used = {(each.type, each.value) for each in usable if each.type in needs}
    missing = [each for each in accepted if (each.type, each.value) not in used]
    if any(each.type in NUMBERS for each in missing):
        return Unsearched.NUMBER_NOT_VOUCHED_FOR
    return Unsearched.NOT_PROVED if any(each.level < level for each in missing) else None


def _is_contact(number: Identity) -> bool:
    """Whether a system yielded a number as a contact only, without a period of assignment."""
    return number.source != "requester" and number.valid_from is None and number.valid_to is None


def with_coverage(
    system: Downstream, task: Task, result: Result, search: IdentitySelection, *, narrowed: bool
) -> Result:
    """Returns the receipt with its coverage: the categories searched, by which identities, and what was not searched.

    ``narrowed``: the dates that the requester stated leave out records of theirs. After an erasure those records could
    never be found again, so a person is asked.
    """
    if not isinstance(result, Receipt):
        return result
    changes: dict[str, Any] = {}
    if result.identities:
        changes["identities"] = _adopted(task, with_level(system, result.identities, search.level))
    if task.operation in _SEARCHING and result.outcome is not TaskOutcome.NOT_HELD:
        if search.missing and result.not_searched is None:
            changes |= {"not_searched": search.missing, "level": search.missing_level}
        elif narrowed and task.operation is Operation.ERASE and result.not_searched is None:
            changes["not_searched"] = Unsearched.NUMBER_NARROWED
        changes["narrowed"] = narrowed or result.narrowed
        changes["searched_by"] = tuple(sorted({each.type for each in task.identities} - _NEVER_SEARCHED_BY))
        covers_everything = task.operation in _WHOLE_SYSTEM or result.outcome is TaskOutcome.NO_MATCH
        changes["categories"] = (
            (result.categories or system.capabilities.categories or None) if covers_everything else None
        )
    return replace(result, **changes) if changes else result


def is_narrowed(
    system: Downstream, task: TaskContext, subject: KnownSubject, register: Register | None, level: Level
) -> bool:
    """Whether stated dates left out a part of the subject's records.

    A system that yields identities knows the whole person, and one without times is searched for all of a number.
    """
    knows_times = NUMBERS & system.needs and system.capabilities.has_record_times and not system.yields
    if register is None or not knows_times or task.step.operation not in ANSWERING:
        return False
    return register.narrowed(identities_for_register(system, task, subject), subject.tenant, level)


def register_conflicts(
    system: Downstream, task: TaskContext, subject: KnownSubject, register: Register | None, edge: timedelta
) -> Sequence[RegisterConflict]:
    """Returns where the register contradicts systems about a number that this system is searched by."""
    searches = task.searches and task.step.operation in ANSWERING and NUMBERS & system.needs
    if register is None or not searches or not system.separates_tenant(subject.tenant):
        return ()
    return conflicts_of(register, identities_for_register(system, task, subject), edge, subject.tenant)


def lacks_account(result: Result) -> bool:
    """Whether the system, or a part of it, was not searched because no account is known."""
    reason = result.reason if isinstance(result, NotSearched) else getattr(result, "not_searched", None)
    return reason is Unsearched.NO_ACCOUNT


def without_account(system: Downstream, result: Result) -> Result:
    """Returns the result where no system has an account of the subject: none of its records is filed by one."""
    categories = system.capabilities.categories
    if isinstance(result, NotSearched):
        searched = tuple(sorted(categories)) or None
        return Receipt(result.task_id, TaskOutcome.NO_MATCH, categories=searched, no_account=searched)
    if not isinstance(result, Receipt):
        return result
    unsearched = result.by_account or tuple(sorted({*categories} - {*(result.categories or categories)}))
    return replace(result, not_searched=None, no_account=unsearched or None)


def marked_in_conflict(result: Result) -> Result:
    """Returns the result marked as not searched in part, because the owner of a number is disputed.

    Missing proof of the requester's identity takes precedence.
    """
    if isinstance(result, NotSearched) and result.reason is not Unsearched.NOT_PROVED:
        return replace(result, reason=Unsearched.NUMBER_IN_CONFLICT)
    if isinstance(result, Receipt) and result.outcome is not TaskOutcome.NOT_HELD:
        return replace(result, not_searched=Unsearched.NUMBER_IN_CONFLICT, level=None)
    return result


def manual_reason(
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
    if operation in {Operation.ERASE, Operation.PLAN} and tenant is None and system.manual_erasure_reasons:
        reasons = "; it ".join(system.manual_erasure_reasons)
        return NotSupported(f"{system.name} {reasons}: erase there by hand what may go, and enter that")
    withdrawn, partly = withdrawn_text(system, details), _categories_text(system, details.get("concerns"))
    if withdrawn and not system.capabilities.erases_by_category:
        return NotSupported(
            f"{system.name} cannot erase {withdrawn} alone: erase there by hand what is theirs, once no access or"
            " portability of theirs is open and no legal hold or restriction keeps it, and enter what was done"
        )
    if partly:
        return NotSupported(
            f"{system.name} holds {partly} for other reasons too: make sure by hand that it is not used for what they"
            " had consented to, and enter that"
        )
    return None


def withdrawn_text(system: Downstream, details: Mapping[str, JsonValue]) -> str:
    """Returns the categories of a system that end with a withdrawn consent, as text; empty for none."""
    return ", ".join(sorted(withdrawn_categories(system, details)))


def withdrawn_categories(system: Downstream, details: Mapping[str, JsonValue]) -> frozenset[str]:
    """Returns the categories of a system that end with a withdrawn consent."""
    named = details.get("ends")
    return system.categories & {str(each) for each in named} if isinstance(named, list) else frozenset()


def _categories_text(system: Downstream, names: JsonValue) -> str:
    categories = {str(each) for each in names} if isinstance(names, list) else set[str]()
    return ", ".join(sorted(system.categories & categories))
