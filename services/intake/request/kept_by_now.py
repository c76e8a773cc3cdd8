"""Until when data are kept as the rules are by now: a shorter rule shows its earlier day, a longer one none; pure."""

from dataclasses import replace
from datetime import date, timedelta

from services.intake.request.aggregate import Request
from shared.domain.operations import Kept, TaskReport
from shared.domain.policy import Policy, parse_period, release
from shared.domain.policy.periods import Period, first_kept

_DAY = timedelta(days=1)


def kept_by_now(request: Request, policy: Policy, today: date) -> Request:
    """The request with the days on which what is kept goes, and the period: no later than people were told (REQ-R7).

    A rule that nobody has signed lets nothing go earlier.
    """
    tasks = request.tasks and tuple(_task(each, policy, today) for each in request.tasks)
    return request if tasks == request.tasks else replace(request, tasks=tasks)


def _task(task: TaskReport, policy: Policy, today: date) -> TaskReport:
    kept = task.kept and tuple(_kept(each, policy, today) for each in task.kept)
    if not kept or kept == task.kept:
        return task
    days = [each.last for each in kept if each.last]
    until = max(days) if len(days) == len(kept) else None
    return task.model_copy(update={"kept": kept, "until": until})


def _kept(kept: Kept, policy: Policy, today: date) -> Kept:
    rule = policy.rule(kept.rule)
    if not (rule and rule.signed(today) and rule.period and kept.period and kept.anchor and kept.first and kept.last):
        return kept
    zone, told, latest = policy.zone_of(rule), parse_period(kept.period), kept.anchor
    if kept.count > 1 or release(told, kept.anchor, zone).last_day != kept.last:  # it goes with the last of others
        latest = _latest_anchor(told, kept.last)
    last = min(kept.last, release(rule.period, latest, zone).last_day)
    first = min(kept.first, release(rule.period, kept.anchor, zone).last_day) if kept.count > 1 else last
    days = {"first": first, "last": max(first, last)}
    earlier = (first, days["last"]) != (kept.first, kept.last)
    return kept.model_copy(update={**days, "period": str(rule.period) if earlier else kept.period})


def _latest_anchor(told: Period, last: date) -> date:
    """The latest of the days from which that period ends on that day, or before it."""
    return first_kept(told, last + _DAY) - _DAY
