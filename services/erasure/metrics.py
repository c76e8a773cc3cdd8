"""What erasure alone tells: what the nightly sweep has found past its ceiling; definitions: ``docs/metrics.md``."""

from prometheus_client import Counter, Gauge

from shared.runtime.metrics import PEOPLE

MISSES = Gauge(
    "dsr_retention_misses",
    "Rows that are past their ceiling for more than a day and still there, spared by nobody",
    ["system", "category"],
    registry=PEOPLE,
)
TABLES = Gauge("dsr_retention_tables", "Tables with a ceiling, by what the last night found", ["system", "state"])
GONE = Counter("dsr_retention_rows_total", "Rows that the sweep has removed or anonymised", ["system", "action"])
