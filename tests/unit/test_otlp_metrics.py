"""Prometheus' figures in OpenTelemetry's words: the same numbers, counts between bounds instead of up to them."""

from opentelemetry.sdk.metrics.export import Gauge as OtlpGauge
from opentelemetry.sdk.metrics.export import Histogram as OtlpHistogram
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.metrics.export import Sum
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.runtime.otlp_metrics import as_otlp


def converted(registry: CollectorRegistry) -> OtlpMetric:
    data = as_otlp(registry.collect(), Resource.get_empty(), now=7)
    return data.resource_metrics[0].scope_metrics[0].metrics[0]


def test_a_counter_is_a_monotonic_sum_with_its_labels() -> None:
    registry = CollectorRegistry()
    Counter("dsr_asked", "words", ["right"], registry=registry).labels("access").inc(3)
    metric = converted(registry)
    assert isinstance(metric.data, Sum)
    assert metric.data.is_monotonic
    point = metric.data.data_points[0]
    assert (metric.name, point.attributes, point.value, point.time_unix_nano) == (
        "dsr_asked",
        {"right": "access"},
        3,
        7,
    )


def test_a_gauge_stays_a_gauge() -> None:
    registry = CollectorRegistry()
    Gauge("dsr_open", "words", registry=registry).set(4)
    metric = converted(registry)
    assert isinstance(metric.data, OtlpGauge)
    assert [point.value for point in metric.data.data_points] == [4]


def test_a_histogram_counts_between_its_bounds_for_each_set_of_labels() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("dsr_seconds", "words", ["system"], buckets=(1, 10), registry=registry)
    for seconds in (0.5, 2, 2, 20):
        histogram.labels("crm").observe(seconds)
    histogram.labels("cdr").observe(2)
    metric = converted(registry)
    assert isinstance(metric.data, OtlpHistogram)
    points = {point.attributes["system"]: point for point in metric.data.data_points if point.attributes}
    assert (list(points["crm"].bucket_counts), points["crm"].count) == ([1, 2, 1], 4)
    assert list(points["crm"].explicit_bounds) == [1, 10]
    assert list(points["cdr"].bucket_counts) == [0, 1, 0]
    assert (points["crm"].sum, points["cdr"].sum) == (24.5, 2)


def test_what_is_not_ours_is_not_sent() -> None:
    registry = CollectorRegistry()
    Gauge("python_info", "words", registry=registry).set(1)
    assert as_otlp(registry.collect(), Resource.get_empty(), now=7).resource_metrics[0].scope_metrics[0].metrics == []
