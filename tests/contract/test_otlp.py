"""A collector is sent every metric that /metrics shows, in the same steps of five."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from services.deadline import metrics as deadline_metrics
from shared.domain.topics import ServiceName
from shared.runtime import metrics, otlp_metrics
from shared.runtime.disclosure import text_for_everybody
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import Percentiles, Ranks
from tests.fakes.collector import collecting
from tests.fixtures.observation import METRICS

SECONDS = 30


@pytest.fixture
def filled() -> Iterator[None]:
    """Every metric with a value that everybody may see."""
    declared = {**vars(metrics), **vars(deadline_metrics)}.values()
    summaries = [each for each in declared if isinstance(each, Percentiles)]
    others = [each for each in declared if isinstance(each, Counter | Gauge | Histogram)]
    for summary in summaries:
        summary.put({"somebody": Ranks(10, 1.0, 2.0, 30.0)})
    names = [["test"] * len(each._labelnames) for each in others]  # noqa: SLF001  # the library has no other way
    for metric, labels in zip(others, names, strict=True):
        child = metric.labels(*labels)
        for _ in range(10):
            child.observe(1) if isinstance(child, Histogram) else child.inc()
    yield
    for summary in summaries:
        summary.put({})
    for metric, labels in zip(others, names, strict=True):
        metric.remove(*labels)


def shown() -> set[str]:
    """What has a value in ``/metrics``, but for times of creation: OpenTelemetry has a field for the start."""
    families = [f for f in text_string_to_metric_families(text_for_everybody().decode()) if f.name.startswith("dsr_")]
    counts = {f"{family.name}_count" for family in families if family.type == "summary"}
    return {family.name for family in families if family.samples and not family.name.endswith("_created")} | counts


@pytest.mark.usefixtures("filled")
async def test_a_collector_gets_every_metric_that_everybody_may_see() -> None:
    stopping = asyncio.Event()
    stopping.set()  # what is known is sent once more at the end
    with collecting() as collector:
        await otlp_metrics.send(ServiceName.INTAKE, collector.url, stopping, Heartbeats())
        wanted = {("dsr-intake", name) for name in shown()}
        arrived = await asyncio.to_thread(collector.wait_for_metrics, wanted, SECONDS)
    assert arrived == wanted
    assert {name.removesuffix("_total") for name in METRICS} <= {name for _, name in arrived}
    assert not [name for _, name in collector.metrics if name.endswith("_days_sum")], "a sum tells of one case"
