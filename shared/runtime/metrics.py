"""Metrics that several services have, or all: each name with what it says, and which of them speak about people.

What speaks about people is kept apart (``PEOPLE``): the privacy team sees it as it is, everybody else in steps of five
(``shared/runtime/disclosure.py``). No label holds an id, and the values of every label are few and known beforehand.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

PEOPLE = CollectorRegistry()
"""Metrics about requests, and so about people."""

_TASK = ["service", "system", "operation"]

EVENTS = Counter("dsr_events_consumed_total", "Events handled, by what became of them", ["service", "type", "result"])
LAG = Gauge("dsr_consumer_lag", "Records on the bus that a service has yet to consume", ["service", "topic"])
RELAYED = Counter("dsr_outbox_relayed_total", "Messages that the broker has acknowledged", ["service"])
OUTBOX = Gauge("dsr_outbox_messages", "Messages that wait for the broker", ["service"])
OUTBOX_AGE = Gauge("dsr_outbox_oldest_seconds", "How long the first of them has waited", ["service"])
OUTBOX_PARKED = Gauge("dsr_outbox_parked", "Messages that the broker refuses for good, and those behind", ["service"])
TOPIC_PAUSED = Gauge(
    "dsr_topic_paused", "1 if a service leaves a topic alone until an operator resumes it", ["service", "topic"]
)
TASKS = Counter("dsr_tasks_total", "Attempts at tasks, by what became of them", [*_TASK, "result"])
RETRIES = Counter("dsr_task_retries_total", "Attempts that an unavailable system made necessary again", _TASK)
CALL_SECONDS = Histogram(
    "dsr_task_call_seconds",
    "Time of one call to a downstream, however many tasks it carried",
    _TASK,
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
TASK_SECONDS = Histogram(
    "dsr_task_seconds",
    "From a task's opening to its conclusion",
    _TASK,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3600, 86400, 604800),
)
ROWS = Counter("dsr_task_rows_total", "Rows or objects that downstreams reported", [*_TASK, "kind"])
TASKS_READY = Gauge("dsr_tasks_ready", "Tasks that wait to be worked, counted up to 100,000", _TASK)
TASKS_READY_AGE = Gauge("dsr_tasks_ready_oldest_seconds", "How long the oldest ready task has been open", _TASK)
TASKS_FAILED = Gauge("dsr_tasks_failed", "Tasks that failed for good and wait for a person's decision", _TASK)
SYSTEMS = Gauge(
    "dsr_downstream_state",
    "1 for the state of a downstream system as this process sees it: observe, on, quarantined or retired",
    ["service", "system", "state"],
)
POOL = Gauge("dsr_pool_connections", "Database connections of this process", ["service", "state"])
POOL_LIMIT = Gauge("dsr_pool_limit", "Database connections that this process may have", ["service"])
LOOP_LAG = Gauge("dsr_loop_lag_seconds", "How late this process came to what it wanted to do", ["service"])
LOOP_STALLED = Gauge(
    "dsr_loop_stalled_seconds", "How long a loop of this process has not gone round", ["service", "loop"]
)
EVIDENCE_BROKEN = Gauge("dsr_evidence_broken", "1 if an entry of the chain of evidence does not follow", ["service"])
EVIDENCE_CHECKED = Counter("dsr_evidence_checked_total", "Entries of evidence that were checked again", ["service"])
RELEASES = Counter(
    "dsr_release_checks_total", "Checks of what is to be handed out: fits, or withheld", ["service", "result"]
)
FIGURES_AT = Gauge("dsr_figures_timestamp_seconds", "When this service last counted requests", ["service"])


@dataclass(frozen=True, slots=True)
class Ranks:
    """Nearest-rank percentiles of ``cases`` values, in days."""

    cases: int
    p50: float
    p95: float
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Mean:
    """An arithmetic mean of so many cases."""

    cases: int
    value: float


class Means(Collector):
    """Means that are counted elsewhere, by one label, each with the number of its cases."""

    def __init__(self, name: str, words: str, label: str) -> None:
        self._name, self._words, self._label = name, words, label
        self._means: Mapping[str, Mean] = {}
        PEOPLE.register(self)

    def put(self, means: Mapping[str, Mean]) -> None:
        """Replaces what was known."""
        self._means = means

    def collect(self) -> Iterator[Metric]:
        family = Metric(self._name, self._words, "gauge")
        for value, mean in self._means.items():
            family.add_sample(self._name, {self._label: value}, mean.value)
            family.add_sample(f"{self._name}_count", {self._label: value}, mean.cases)
        yield family


class Percentiles(Collector):
    """Percentiles from the database, shown as a Prometheus summary; by one label, or of all."""

    def __init__(self, name: str, words: str, label: str | None = None) -> None:
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
