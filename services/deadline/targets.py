"""The staff's targets: by when a step is to be taken, and which of them have passed without it; pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from shared.domain.time_limit import Arrival, target
from shared.domain.time_limit_policy import TargetName, TimeLimitPolicy


class Step(StrEnum):
    """What is done with a request on the way to its answer."""

    TRIAGED = "triaged"
    COLLECTED = "collected"
    ANSWERED = "answered"


STEPS = {
    TargetName.TRIAGE: Step.TRIAGED,
    TargetName.QUESTION_SENT: Step.TRIAGED,
    TargetName.COLLECTION: Step.COLLECTED,
    TargetName.REVIEW: Step.ANSWERED,
}
"""The step that each target waits for.

Whoever asks is acknowledged by the very answer that accepts the request, so those two targets are met before it is
known here. Nobody reports a review: it is done when the request is answered. ``extend_or_answer`` is a milestone.
"""


@dataclass(frozen=True, slots=True)
class Dated:
    """A target of one request: to be met before ``at``, and who is told when it was not."""

    at: datetime
    name: TargetName
    day: date
    escalate_to: str

    @property
    def level(self) -> str:
        """How a ticket and a warning name it."""
        return f"target_{self.name}"


def schedule(arrival: Arrival, due_at: datetime, policy: TimeLimitPolicy) -> list[Dated]:
    """The targets of a request in the order of time; one that ends no sooner than the request itself is none."""
    found = [
        Dated(ends.instant, name, ends.day, ends.escalate_to)
        for name in STEPS
        if (span := policy.targets.get(name)) and (ends := target(span, arrival, policy)).instant < due_at
    ]
    return sorted(found, key=lambda each: each.at)


def first_at(arrival: Arrival, due_at: datetime, policy: TimeLimitPolicy) -> datetime | None:
    """When to look at a request for the first time."""
    return next_at(schedule(arrival, due_at, policy), None)


def next_at(dated: Sequence[Dated], judged_until: datetime | None) -> datetime | None:
    """When to look again at a request whose targets were judged until then; ``None`` when there is none left."""
    return next((each.at for each in dated if judged_until is None or each.at > judged_until), None)


def missed(
    dated: Sequence[Dated], taken: Collection[Step], told: Collection[TargetName], until: datetime
) -> list[Dated]:
    """Those that have passed by ``until`` without their step and were not told before."""
    return [each for each in dated if each.at <= until and STEPS[each.name] not in taken and each.name not in told]


def to_tell(missing: Sequence[Dated]) -> list[Dated]:
    """Of those missed at one look, the latest for each who is to be told."""
    return list({each.escalate_to: each for each in missing}.values())
