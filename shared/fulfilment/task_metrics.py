"""What is counted of tasks when a desk concludes them."""

from collections.abc import Iterable
from datetime import datetime

from shared.domain.topics import ServiceName
from shared.fulfilment.queue import Conclusion, opened_at
from shared.runtime.metrics import RETRIES, ROWS, TASK_SECONDS, TASKS

_KINDS = ("found", "changed", "remaining")


def count(service: ServiceName, step: tuple[str, str], conclusions: Iterable[Conclusion], now: datetime) -> None:
    """Counts attempts, retries, how long tasks took and how many rows they reported."""
    for conclusion in conclusions:
        TASKS.labels(service, *step, conclusion.failure or conclusion.state).inc()
        if conclusion.state == "ready":
            if conclusion.failure:
                RETRIES.labels(service, *step).inc()
            continue
        open_for = now - opened_at(conclusion.claim.task_id)
        TASK_SECONDS.labels(service, *step).observe(max(0.0, open_for.total_seconds()))
        for kind in _KINDS:
            rows = (conclusion.receipt or {}).get(kind)
            ROWS.labels(service, *step, kind).inc(rows if isinstance(rows, int) else 0)
