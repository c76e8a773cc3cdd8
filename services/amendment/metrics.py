"""What amendment alone counts; definitions: ``docs/metrics.md``."""

from prometheus_client import Gauge

NOT_COMPARED = Gauge(
    "dsr_marketing_not_compared",
    "1: whom a system would send marketing to was not compared with the list of who gets none, or not for two days",
    ["system"],
)
