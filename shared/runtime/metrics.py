"""Every metric of the product: its name with what it says, and which of them speak about people.

What speaks about people is kept apart (``PEOPLE``): the privacy team sees it as it is, everybody else in steps of five
(``shared/runtime/disclosure.py``). No label holds an id, and the values of every label are few and known beforehand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

MetricName = Literal[
    # The machine, for everybody
    "dsr_events_heard_total",  # events handled, by what became of them: handled or dead_letter
    "dsr_consumer_lag",  # records on the bus that a service has yet to hear
    "dsr_outbox_relayed_total",  # messages that the broker has acknowledged
    "dsr_outbox_messages",  # messages that wait for the broker
    "dsr_outbox_oldest_seconds",  # how long the first of them has waited
    "dsr_tasks_total",  # attempts at tasks, by what became of them
    "dsr_task_retries_total",  # attempts that an unavailable system made necessary again
    "dsr_task_call_seconds",  # time of one call to a downstream, however many tasks it carried
    "dsr_task_seconds",  # from a task's opening to its conclusion
    "dsr_task_rows_total",  # rows or objects that downstreams reported: found, changed, remaining
    "dsr_tasks_ready",  # tasks that wait to be worked, counted up to a limit
    "dsr_tasks_ready_oldest_seconds",  # how long the oldest of those has been open
    "dsr_tasks_failed",  # tasks that failed for good and wait for a person's decision
    "dsr_pool_connections",  # database connections of a process, by state: busy, idle
    "dsr_pool_limit",  # database connections that a process may have
    "dsr_loop_lag_seconds",  # how late a process comes to what it wanted to do: its processor is busy
    "dsr_evidence_broken",  # 1 if an entry of a chain of evidence does not follow from the one before
    "dsr_evidence_checked_total",  # entries of the chain of evidence that were checked again
    "dsr_figures_timestamp_seconds",  # when a service last counted what it tells of requests
    # Requests, in steps of five outside the privacy team
    "dsr_requests_total",  # requests by what happened to them since the process started
    "dsr_requests_closed_total",  # requests closed since the process started, by outcome
    "dsr_request_open_seconds",  # from accepted to closed
    "dsr_requests_open",  # open requests by age in days since receipt
    "dsr_requests_open_by_days_left",  # open requests by days until the commitment; over, 0 to 30, more
    "dsr_requests_due_soon",  # open requests that are due within seven days
    "dsr_requests_overdue",  # open requests whose day is over: commitment, statutory
    "dsr_requests_waiting",  # open requests that wait for a person: identity, clarification, decision
    "dsr_requests_open_by_regime",  # open requests by law, as timely as an answer would be now
    "dsr_requests_answered_by_regime",  # requests answered in the last 30 days, by law and timeliness
    "dsr_requests_answered",  # requests answered in the last 30 days, by outcome and timeliness
    "dsr_requests_reached_due",  # requests whose commitment, as first promised, ended in the last 30 days
    "dsr_requests_extended",  # of those, how many were extended
    "dsr_targets_missed_total",  # targets of the staff that passed without their step since the process started
    "dsr_extensions_approved",  # extensions approved in the last 30 days, by reason
    "dsr_extensions_refused_total",  # extensions that were refused since the process started, by what was wrong
    "dsr_questions_asked",  # questions sent in the last 30 days, by whether that was in time
    "dsr_suspension_days",  # from a question to its answer, answered in the last 30 days, nearest rank
    "dsr_requests_covered",  # of those with downstream work, how many have a receipt of every system
    "dsr_requests_worked",  # requests with downstream work that were answered in the last 30 days
    "dsr_time_to_respond_days",  # from receipt at the source to the answer, last 30 days, nearest rank
    "dsr_time_to_close_days",  # from receipt at the source to closure, last 30 days, nearest rank
    "dsr_processor_requests_open",  # requests that we have yet to pass on to the controller, by whether there is time
    "dsr_processor_forwarded",  # requests passed on in the last 30 days, by whether that was in time
    "dsr_processor_forwarding_days",  # from receipt at the source to passing on, last 30 days, nearest rank
    "dsr_erasures_deferred",  # what a system had to keep and has not erased yet, by how far its day is away
    "dsr_detection_lag_days",  # from receipt at the source to acceptance, last 30 days, nearest rank
]
"""All names, as Prometheus knows them."""

PEOPLE = CollectorRegistry()
"""What is said of requests, and so of people."""

_TASK = ["service", "system", "operation"]


def _counter(name: MetricName, words: str, labels: list[str], registry: CollectorRegistry = REGISTRY) -> Counter:
    return Counter(name, words, labels, registry=registry)


def _gauge(name: MetricName, words: str, labels: list[str], registry: CollectorRegistry = REGISTRY) -> Gauge:
    return Gauge(name, words, labels, registry=registry)


def _histogram(
    name: MetricName, words: str, labels: list[str], buckets: tuple[float, ...], registry: CollectorRegistry = REGISTRY
) -> Histogram:
    return Histogram(name, words, labels, buckets=buckets, registry=registry)


HEARD = _counter("dsr_events_heard_total", "Events handled, by what became of them", ["service", "type", "result"])
LAG = _gauge("dsr_consumer_lag", "Records on the bus that a service has yet to hear", ["service", "topic"])
RELAYED = _counter("dsr_outbox_relayed_total", "Messages that the broker has acknowledged", ["service"])
OUTBOX = _gauge("dsr_outbox_messages", "Messages that wait for the broker", ["service"])
OUTBOX_AGE = _gauge("dsr_outbox_oldest_seconds", "How long the first of them has waited", ["service"])
TASKS = _counter("dsr_tasks_total", "Attempts at tasks, by what became of them", [*_TASK, "result"])
RETRIES = _counter("dsr_task_retries_total", "Attempts that an unavailable system made necessary again", _TASK)
CALL_SECONDS = _histogram(
    "dsr_task_call_seconds",
    "Time of one call to a downstream, however many tasks it carried",
    _TASK,
    (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TASK_SECONDS = _histogram(
    "dsr_task_seconds",
    "From a task's opening to its conclusion",
    _TASK,
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600, 86400, 604800),
)
ROWS = _counter("dsr_task_rows_total", "Rows or objects that downstreams reported", [*_TASK, "kind"])
TASKS_READY = _gauge("dsr_tasks_ready", "Tasks that wait to be worked, counted up to 100,000", _TASK)
TASKS_READY_AGE = _gauge("dsr_tasks_ready_oldest_seconds", "How long the oldest ready task has been open", _TASK)
TASKS_FAILED = _gauge("dsr_tasks_failed", "Tasks that failed for good and wait for a person's decision", _TASK)
POOL = _gauge("dsr_pool_connections", "Database connections of this process", ["service", "state"])
POOL_LIMIT = _gauge("dsr_pool_limit", "Database connections that this process may have", ["service"])
LOOP_LAG = _gauge("dsr_loop_lag_seconds", "How late this process came to what it wanted to do", ["service"])
EVIDENCE_BROKEN = _gauge("dsr_evidence_broken", "1 if an entry of the chain of evidence does not follow", ["service"])
EVIDENCE_CHECKED = _counter("dsr_evidence_checked_total", "Entries of evidence that were checked again", ["service"])
FIGURES_AT = _gauge("dsr_figures_timestamp_seconds", "When this service last counted requests", ["service"])

REQUESTS = _counter("dsr_requests_total", "Requests, by what happened to them", ["right", "event"], PEOPLE)
CLOSED = _counter("dsr_requests_closed_total", "Requests closed, by outcome", ["right", "outcome"], PEOPLE)
OPEN_SECONDS = _histogram(
    "dsr_request_open_seconds",
    "From accepted to closed",
    ["right"],
    (0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600, 86400, 604800, 2592000),
    PEOPLE,
)
OPEN = _gauge("dsr_requests_open", "Open requests by age in days since receipt", ["right", "age"], PEOPLE)
DAYS_LEFT = _gauge("dsr_requests_open_by_days_left", "Open requests by days until they are due", ["days"], PEOPLE)
DUE_SOON = _gauge("dsr_requests_due_soon", "Open requests that are due within seven days", ["right"], PEOPLE)
OVERDUE = _gauge("dsr_requests_overdue", "Open requests whose day is over", ["right", "clock"], PEOPLE)
WAITING = _gauge("dsr_requests_waiting", "Open requests that wait for a person", ["right", "state"], PEOPLE)
ANSWERED = _gauge(
    "dsr_requests_answered",
    "Requests answered in the last 30 days",
    ["right", "outcome", "timeliness", "extended"],
    PEOPLE,
)
OPEN_BY_REGIME = _gauge(
    "dsr_requests_open_by_regime",
    "Open requests by law, as timely as an answer would be now",
    ["regime", "timeliness"],
    PEOPLE,
)
ANSWERED_BY_REGIME = _gauge(
    "dsr_requests_answered_by_regime",
    "Requests answered in the last 30 days, by law",
    ["regime", "timeliness"],
    PEOPLE,
)
QUESTIONS = _gauge("dsr_questions_asked", "Questions sent in the last 30 days", ["question", "in_time"], PEOPLE)
PROCESSOR_OPEN = _gauge("dsr_processor_requests_open", "Requests that we have yet to pass on", ["in_time"], PEOPLE)
PROCESSOR_FORWARDED = _gauge("dsr_processor_forwarded", "Requests passed on in the last 30 days", ["in_time"], PEOPLE)
REACHED_DUE = _gauge(
    "dsr_requests_reached_due", "Requests whose commitment ended in the last 30 days", ["right"], PEOPLE
)
EXTENDED = _gauge("dsr_requests_extended", "Of those, how many were extended", ["right"], PEOPLE)
TARGETS_MISSED = _counter("dsr_targets_missed_total", "Targets that passed without their step", ["target"], PEOPLE)
EXTENSIONS = _gauge("dsr_extensions_approved", "Extensions approved in the last 30 days", ["reason"], PEOPLE)
EXTENSIONS_REFUSED = _counter("dsr_extensions_refused_total", "Extensions that were refused", ["flaw"], PEOPLE)
COVERED = _gauge("dsr_requests_covered", "Of those worked, how many have every receipt", ["right"], PEOPLE)
DEFERRED = _gauge(
    "dsr_erasures_deferred", "What a system had to keep of a subject, until it is erased", ["system", "state"], PEOPLE
)
WORKED = _gauge("dsr_requests_worked", "Requests with downstream work, answered in the last 30 days", ["right"], PEOPLE)


@dataclass(frozen=True, slots=True)
class Ranks:
    """Nearest-rank percentiles of ``cases`` values, in days."""

    cases: int
    p50: float
    p95: float
    total: float | None = None


class Percentiles(Collector):
    """Percentiles that the database has computed, told as a Prometheus summary; by one label, or of all."""

    def __init__(self, name: MetricName, words: str, label: str | None = None) -> None:
        self._name, self._words, self._label = name, words, label
        self._ranks: Mapping[str, Ranks] = {}
        PEOPLE.register(self)

    def put(self, ranks: Mapping[str, Ranks]) -> None:
        """Replaces what was known."""
        self._ranks = ranks

    def collect(self) -> Iterator[Metric]:
        family = Metric(self._name, self._words, "summary")
        for value, ranks in self._ranks.items():
            labels = {self._label: value} if self._label else {}
            family.add_sample(self._name, {**labels, "quantile": "0.5"}, ranks.p50)
            family.add_sample(self._name, {**labels, "quantile": "0.95"}, ranks.p95)
            family.add_sample(f"{self._name}_count", labels, ranks.cases)
            if ranks.total is not None:
                family.add_sample(f"{self._name}_sum", labels, ranks.total)
        yield family


TIME_TO_RESPOND = Percentiles("dsr_time_to_respond_days", "From receipt to the answer, last 30 days", "right")
TIME_TO_CLOSE = Percentiles("dsr_time_to_close_days", "From receipt to closure, last 30 days", "right")
DETECTION_LAG = Percentiles("dsr_detection_lag_days", "From receipt to acceptance, last 30 days", "channel")
SUSPENSION = Percentiles("dsr_suspension_days", "From a question to its answer, last 30 days", "question")
PROCESSOR_DAYS = Percentiles("dsr_processor_forwarding_days", "From receipt to passing on, last 30 days")
