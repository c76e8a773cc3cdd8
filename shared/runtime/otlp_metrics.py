"""Metrics for those who have a collector: what ``/metrics`` shows everybody, sent by OTLP over HTTP."""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import groupby, pairwise
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from shared.domain.topics import ServiceName
from shared.runtime.disclosure import everybody
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import sleep_until_stopped

EVERY_SECONDS = 15.0
_STARTED = time.time_ns()
_CUMULATIVE = AggregationTemporality.CUMULATIVE


async def send(service: ServiceName, endpoint: str, stopping: asyncio.Event, heartbeats: Heartbeats) -> None:
    """Sends all metrics every few seconds until told to stop, and once more then; the exporter logs its failures."""
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics", timeout=5)
    resource = Resource.create({"service.name": f"dsr-{service}"})
    last = False
    while not last:
        await sleep_until_stopped(EVERY_SECONDS, "metrics", stopping, heartbeats)
        last = stopping.is_set()
        families = [*REGISTRY.collect(), *everybody().collect()]
        await asyncio.to_thread(exporter.export, as_otlp(families, resource, time.time_ns()))
    await asyncio.to_thread(exporter.shutdown)


def as_otlp(families: Iterable[Metric], resource: Resource, now: int) -> MetricsData:
    """The same figures in OpenTelemetry's words; ``now`` in nanoseconds since the epoch."""
    scope = ScopeMetrics(InstrumentationScope("dsr"), list(_metrics(families, now)), "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metrics(families: Iterable[Metric], now: int) -> Iterator[OtlpMetric]:
    for family in families:
        if not family.name.startswith("dsr_"):
            continue
        data: Sum | Gauge | Histogram
        match family.type:
            case "counter":
                values = [sample for sample in family.samples if sample.name.endswith("_total")]
                data = Sum(_numbers(values, now), _CUMULATIVE, is_monotonic=True)
            case "histogram":
                data = Histogram(list(_histograms(family, now)), _CUMULATIVE)
            case _:
                values = [sample for sample in family.samples if sample.name == family.name]
                data = Gauge(_numbers(values, now))
        yield OtlpMetric(family.name, family.documentation, "", data)
        if (
            family.type == "summary"
        ):  # which OpenTelemetry has no more: of how many cases, and where it is told, their sum
            for suffix in ("_count", "_sum"):
                parts = [sample for sample in family.samples if sample.name == family.name + suffix]
                yield OtlpMetric(family.name + suffix, family.documentation, "", Gauge(_numbers(parts, now)))


def _numbers(samples: Iterable[Sample], now: int) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(sample.labels), _STARTED, now, sample.value) for sample in samples]


def _histograms(family: Metric, now: int) -> Iterator[HistogramDataPoint]:
    """Prometheus counts up to each bound, OpenTelemetry between them; a sum is sent where one is told."""
    unknown: Any = None
    sums = {tuple(s.labels.items()): s.value for s in family.samples if s.name.endswith("_sum")}
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    for labels, group in groupby(buckets, lambda s: {name: v for name, v in s.labels.items() if name != "le"}):
        samples = list(group)
        bounds = [float(sample.labels["le"]) for sample in samples[:-1]]
        counts = [int(upper - lower) for lower, upper in pairwise([0.0, *(sample.value for sample in samples)])]
        total = sums.get(tuple(labels.items()), unknown)
        yield HistogramDataPoint(labels, _STARTED, now, sum(counts), total, counts, bounds, unknown, unknown)
