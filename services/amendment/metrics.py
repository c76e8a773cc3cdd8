"""What amendment alone counts; definitions: ``docs/metrics.md``."""

from prometheus_client import Gauge

from shared.runtime.metrics import PEOPLE

STRANGERS = Gauge(
    "dsr_in_force_of_others",
    "Rows that a system shows as restricted, or as getting no marketing, without an entry of ours",
    ["system", "operation"],
    registry=PEOPLE,
)

NOT_COMPARED = Gauge(
    "dsr_marketing_not_compared",
    "1: whom a system would send marketing to was not compared with the list of who gets none, or not for two days",
    ["system"],
)
