"""Defines the metrics of amendment; docs/metrics.md lists them."""

from prometheus_client import Gauge

NOT_COMPARED = Gauge(
    "dsr_marketing_not_compared",
    "1: a system's marketing recipients were not compared with the suppression list, or not for two days",
    ["system"],
)
