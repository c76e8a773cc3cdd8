"""What amendment alone counts of people; definitions: ``docs/metrics.md``."""

from prometheus_client import Gauge

from shared.runtime.metrics import PEOPLE

STRANGERS = Gauge(
    "dsr_in_force_of_others",
    "Rows that a system shows as restricted, or as getting no marketing, without an entry of ours",
    ["system", "operation"],
    registry=PEOPLE,
)
