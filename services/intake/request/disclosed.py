"""Finds the recipients who must be notified (Art. 19): what was done with which data, and who has those; pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final, Literal
from uuid import UUID

from services.intake.request.reports import changed_by_category, summed
from services.intake.request.stored_request import StoredRequest
from shared.domain.operations import Kept, Operation, TaskReport
from shared.domain.policy import Policy, Recipient
from shared.domain.rights import Outcome, Right

What = Literal["corrected", "stated", "erased", "restricted", "lifted", "stopped"]
_ANSWERED: Final = frozenset({Outcome.FULFILLED, Outcome.PARTIALLY_FULFILLED})
_NOT_FOLLOWED: Final = frozenset({Outcome.REFUSED, Outcome.WITHDRAWN})
# What a rectification had restricted until it was done is reported as corrected.
_OPERATIONS: Final[Mapping[What, Operation]] = {
    "corrected": Operation.RECTIFY,
    "erased": Operation.ERASE,
    "restricted": Operation.RESTRICT,
}


@dataclass(frozen=True, slots=True)
class CompletedChange:
    """The change to the data, and the policy's categories that it concerns.

    ``over``: the request has come to nothing, and what was restricted for it meanwhile is lifted. That concerns only
    those who were notified of the restriction.
    """

    what: What
    categories: frozenset[str]
    over: bool = False


@dataclass(frozen=True, slots=True)
class DisclosedExtent:
    """The extent of an erasure in one category: whether anything went, and whether anything is kept, over all systems.

    ``reduced``: what is kept has lost all but the fields of its rule, and is restricted (Art. 18). ``held``: what a
    legal hold alone keeps is restricted. ``last``: the last day of what is kept; None if nothing is, or if unknown.
    """

    gone: bool
    kept: bool = False
    reduced: bool = False
    last: date | None = None
    held: bool = False


@dataclass
class Disclosed:
    """The notice to recipients about one request as it stands, computed once."""

    request: StoredRequest
    policy: Policy

    @cached_property
    def done(self) -> CompletedChange | None:
        """The change of an answered request that recipients must learn; None where none concerns them.

        An objection to marketing or a withdrawn consent stops those who do it for us, even if none of our systems knows
        the person. A customer's instruction concerns that customer's recipients. What stops, or is restricted, takes
        effect before the rest is done, so recipients are notified immediately. Those who were notified of a restriction
        are notified of its lift when the objection is refused or the request is withdrawn.
        """
        request, policy = self.request, self.policy
        so_far, over = request.begun_to_stop, _has_ended(request)
        if request.tenant or not (request.outcome in _ANSWERED or so_far or over):
            return None
        if not over and (stopped := _stopped(request, policy)):
            return CompletedChange("stopped", stopped)
        every = summed(request.tasks)
        for what, operation in _OPERATIONS.items():
            if (so_far or over) and what != "restricted":
                continue
            tasks = [t for t in every if t.operation == operation]
            changed = [t for t in tasks if _has_changed(t)]
            if all(t.stated for t in changed) and changed:
                return CompletedChange("stated", _categories(changed, policy))
            reduced = frozenset(self.extents if tasks and operation is Operation.ERASE else ())
            if changed or reduced:
                lifted = what == "restricted" and request.lifted_at is not None
                return CompletedChange("lifted" if lifted else what, _categories(changed, policy) | reduced, over)
        return None

    @cached_property
    def extents(self) -> Mapping[str, DisclosedExtent]:
        """The extent by category, where anything was erased, or what is kept was reduced or restricted."""
        policy, found = self.policy, defaultdict[str, list[DisclosedExtent]](list)
        for task in (t for t in summed(self.request.tasks) if t.operation == Operation.ERASE):
            went, retained = _certain(task), [each for each in task.kept or () if each.category]
            for name in {*task.by_category, *(str(each.category) for each in retained)}:
                if category := policy.category_of(name):
                    own = [each for each in retained if each.category == name and each.count]
                    remaining = bool(own) or bool(task.by_category.get(name) and name not in went)
                    reduced = any(_is_reduced(task, each, policy) for each in own)
                    held = any(each.restricted for each in own)
                    extent = DisclosedExtent(name in went, remaining, reduced, _last(each.last for each in own), held)
                    found[category].append(extent)
        every = {category: _sum_extents(each) for category, each in found.items()}
        return {category: each for category, each in every.items() if each.gone or each.reduced or each.held}


class DisclosedOfAll:
    """Notices about several requests, computed once each until the request changes."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._known: dict[UUID, Disclosed] = {}

    def of(self, request: StoredRequest) -> Disclosed:
        """Returns the notice about that request."""
        known = self._known.get(request.request_id)
        if known is None or known.request is not request:
            known = self._known[request.request_id] = Disclosed(request, self.policy)
        return known


def restricted(request: StoredRequest, policy: Policy) -> frozenset[str]:
    """The categories of which a request restricts data now."""
    if not request.restricts or request.lifted_at is not None:
        return frozenset()
    tasks = [task for task in summed(request.tasks) if task.operation == Operation.RESTRICT]
    return _categories([task for task in tasks if _has_changed(task)], policy)


def _has_ended(request: StoredRequest) -> bool:
    restricts = request.restricts and request.right is not Right.RECTIFICATION
    return restricts and request.outcome in _NOT_FOLLOWED


def _has_changed(task: TaskReport) -> bool:
    """Whether the data differ from what recipients have: also where a statement was added to them."""
    return bool(task.changed or task.count_unknown or (task.stated and any(task.corrected or ())))


def _sum_extents(extents: Sequence[DisclosedExtent]) -> DisclosedExtent:
    gone, retained = any(each.gone for each in extents), any(each.kept for each in extents)
    reduced, held = any(each.reduced for each in extents), any(each.held for each in extents)
    return DisclosedExtent(gone, retained, reduced, _last(each.last for each in extents if each.kept), held)


def _last(days: Iterable[date | None]) -> date | None:
    known = [*days]
    return max((day for day in known if day), default=None) if None not in known else None


def _is_reduced(task: TaskReport, retained: Kept, policy: Policy) -> bool:
    """Whether a store has left of its rows the fields of the rule alone: it has counted their period itself.

    What an earlier request has left so concerns no recipient again.
    """
    if task.reduced is not None and not task.reduced.get(retained.category or ""):
        return False
    rule = policy.rule(retained.rule)
    return bool(rule and rule.fields and retained.period and retained.count)


def recipients(policy: Policy, categories: Collection[str]) -> Mapping[str, Recipient]:
    """Returns the recipients of data of these categories."""
    return {name: each for name, each in policy.recipients.items() if each.categories & frozenset(categories)}


def category_words(policy: Policy, categories: Iterable[str]) -> str:
    """These categories as people read them; what the policy has dropped since by its name."""
    known = policy.categories
    return "; ".join(known[each].words if each in known else each for each in sorted(categories))


def _stopped(request: StoredRequest, policy: Policy) -> frozenset[str]:
    purposes = set(request.purposes)
    if request.right is Right.OBJECTION and not request.is_weighed:
        purposes = {name for name, each in policy.purposes.items() if each.direct_marketing}
    return frozenset(name for name, each in policy.categories.items() if purposes & each.purposes.keys())


def _categories(tasks: Iterable[TaskReport], policy: Policy) -> frozenset[str]:
    """Returns the changed categories; all, where a system names none that the policy knows."""
    return frozenset().union(*(_changed(task, policy) for task in tasks))


def _changed(task: TaskReport, policy: Policy) -> frozenset[str]:
    """Leaves out what was kept, and what a failed task perhaps did not change."""
    if any(task.by_category.values()):
        return _known(_certain(task), policy) if _known(task.by_category, policy) else frozenset(policy.categories)
    retained = _known((each.category for each in task.kept or () if each.category), policy)
    return (_known(task.categories or (), policy) or frozenset(policy.categories)) - retained


def _certain(task: TaskReport) -> Collection[str]:
    """The categories, in the system's words, of which rows were changed for certain."""
    rows = task.by_category if task.stated else changed_by_category(task)
    total = sum(rows.values())
    return {name for name, each in rows.items() if each and (task.stated or task.changed > total - each)}


def _known(names: Iterable[str], policy: Policy) -> frozenset[str]:
    return frozenset(category for name in names if (category := policy.category_of(name)))
