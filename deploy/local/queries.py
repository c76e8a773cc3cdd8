"""The Prometheus queries worth trying, and their answers from the running services at that moment."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from deploy.local.process import ChildFailedError
from deploy.local.progress import Progress
from deploy.local.prometheus import Prometheus, QueryError
from deploy.local.prometheus_programs import PrometheusMissingError
from deploy.local.services import Services

QUERIES = {
    "what became of the requests": "sum by (right, outcome) (dsr_requests_closed_total) > 0",
    "open requests by right and age": "max by (right, age) (dsr_requests_open) > 0",
    "days until what is open is due": "max by (days) (dsr_requests_open_by_days_left) > 0",
    "days from receipt to the answer": "max by (right, quantile) (dsr_time_to_respond_days)",
    "answered in time": "dsr:requests_on_time:ratio",
    "by which law, and how timely": "max by (regime, timeliness) (dsr_requests_answered_by_regime) > 0",
    "rows that each system reported": "sum by (system, operation, kind) (dsr_task_rows_total) > 0",
    "how long a task takes (p95)": (
        "histogram_quantile(0.95, sum by (le, system, operation) (rate(dsr_task_seconds_bucket[5m])))"
    ),
    "who is behind on the bus": "dsr:consumer_lag:sum",
    "does the evidence hold (0 = yes)": "max by (service) (dsr_evidence_broken)",
}
LIVE = next(iter(QUERIES))
"""The one that is asked at once."""

_PATIENCE = 15.0
_LOOK_EVERY = 0.5


class Watching:
    """A Prometheus beside the services for as long as the block lasts; where there is none, the queries alone."""

    def __init__(self, directory: Path, services: Services, progress: Progress) -> None:
        shutil.rmtree(directory, ignore_errors=True)  # what was counted before is no answer of this moment
        self._prometheus = Prometheus(directory, services, progress=progress)
        self._missing = ""

    def lines(self, closed: int) -> Iterator[str]:
        """What to print when that many requests are closed: each query, with the answers to the first of them."""
        yield f"Prometheus: {self._prometheus.url}" if not self._missing else f"No Prometheus here: {self._missing}"
        for words, query in QUERIES.items():
            yield f"  {words}"
            yield f"    {query}"
            if query == QUERIES[LIVE] and not self._missing:
                yield from (f"      {labels} = {value:g}" for labels, value in self._answer(query, closed))

    def _answer(self, query: str, closed: int) -> list[tuple[str, float]]:
        """The answer, once it speaks of all that is closed, or what there is when patience is at its end."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                series = self._prometheus.query(query)
            except QueryError:
                series = []
            found = [(_labels(one["metric"]), float(one["value"][1])) for one in series]
            if sum(value for _, value in found) >= closed or time.monotonic() > deadline:
                return sorted(found)
            time.sleep(_LOOK_EVERY)

    def __enter__(self) -> Self:
        try:
            self._prometheus.start()
        except (PrometheusMissingError, ChildFailedError) as error:
            self._missing = str(error).splitlines()[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._prometheus.stop()


def _labels(metric: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(metric.items(), reverse=True))
