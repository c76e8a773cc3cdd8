"""Defines the metrics of the nightly retention run; docs/metrics.md lists them."""

from prometheus_client import Counter, Gauge

from shared.runtime.metrics import PEOPLE

MISSES = Gauge(
    "dsr_retention_misses",
    "Rows that have been past their ceiling for more than a day and are not exempt",
    ["system", "category"],
    registry=PEOPLE,
)
TABLES = Gauge("dsr_retention_tables", "Tables with a ceiling, by what the last night found", ["system", "state"])
GONE = Counter("dsr_retention_rows_total", "Rows that the run has deleted or anonymised", ["system", "action"])
