"""Defines what deadline alone counts; definitions: ``docs/metrics.md``."""

from prometheus_client import Counter, Gauge

from shared.runtime.metrics import PEOPLE, Percentiles


def _gauge(name: str, about: str, *labels: str) -> Gauge:
    return Gauge(name, about, labels, registry=PEOPLE)


OPEN_BY_AGE = _gauge("dsr_requests_open", "Open requests by age in days since receipt", "right", "age")
OPEN_BY_DAYS_LEFT = _gauge("dsr_requests_open_by_days_left", "Open requests by days until they are due", "days")
DUE_SOON = _gauge("dsr_requests_due_soon", "Open requests that are due within seven days", "right")
OVERDUE = _gauge("dsr_requests_overdue", "Open requests whose day is over", "right", "clock")
_HOW = ("right", "outcome", "timeliness", "extended")
ANSWERED_BY_OUTCOME = _gauge("dsr_requests_answered", "Requests answered in the last 30 days", *_HOW)
QUESTIONS = _gauge("dsr_questions_asked", "Questions sent in the last 30 days", "question", "in_time")
PROCESSOR_OPEN = _gauge("dsr_processor_requests_open", "Requests that we have yet to forward", "in_time")
PROCESSOR_FORWARDED = _gauge("dsr_processor_forwarded", "Requests forwarded in the last 30 days", "in_time")
REACHED_DUE = _gauge("dsr_requests_reached_due", "Requests whose commitment ended in the last 30 days", "right")
EXTENDED = _gauge("dsr_requests_extended", "Of those, how many were extended", "right")
DEFERRED_UNTIL = _gauge("dsr_erasures_deferred", "What a system had to keep until it is erased", "system", "state")
TARGETS_MISSED = Counter(
    "dsr_targets_missed_total", "Targets that passed without their step", ["target"], registry=PEOPLE
)
TIME_TO_RESPOND = Percentiles("dsr_time_to_respond_days", "From receipt to the answer, last 30 days", "right")
SUSPENSION = Percentiles("dsr_suspension_days", "From a question to its answer, last 30 days", "question")
PROCESSOR_DAYS = Percentiles("dsr_processor_forwarding_days", "From receipt to forwarding, last 30 days")
ASSIGNMENTS_READ = Gauge(
    "dsr_assignments_read_timestamp_seconds",
    "When the reading began that the register of assignments was filled from",
    ["system"],
)
ASSIGNMENTS_FAILED = Gauge(
    "dsr_assignments_reading_failed",
    "1 if nothing of the last reading was taken over, by the reason why",
    ["system", "reason"],
)
