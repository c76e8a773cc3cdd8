"""Limits metrics about people outside the privacy team: counts in steps of five, and none below five.

Rounding down also hides the difference of two scrapes, which could reveal a single case.
"""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shared.runtime.metrics import PEOPLE

SMALLEST = 5
"""The fewest people that a figure may stand for outside the privacy team."""

_UNSAFE = ("_sum", "_created")  # a sum tells of one case what a count hides; a creation time, when the first came


class _Discreet(Collector):
    """The metrics about people, as everybody may see them."""

    def collect(self) -> Iterator[Metric]:
        return map(rounded, PEOPLE.collect())


def rounded(family: Metric) -> Metric:
    """A family without what stands for fewer than five people, and its counts rounded down to fives; zero is zero."""
    shown = Metric(family.name, family.documentation, family.type)
    cases = {_of(s.labels): s.value for s in family.samples if s.name.endswith("_count")}
    for sample in family.samples:
        if sample.name.endswith(_UNSAFE):
            continue
        size = cases.get(_of(sample.labels))
        if 0 < (sample.value if size is None else size) < SMALLEST:
            continue
        is_of_cases = size is not None and sample.name == family.name  # a percentile or a mean, and no count
        value = sample.value if is_of_cases else sample.value // SMALLEST * SMALLEST
        shown.add_sample(sample.name, sample.labels, value)
    return shown


def public_registry() -> CollectorRegistry:
    """Returns the metrics for everyone: of the machine as they are, of requests in steps of five."""
    registry = CollectorRegistry()
    registry.register(_Discreet())
    return registry


def public_text() -> bytes:
    """The exposition for operations and everybody else."""
    return generate_latest(REGISTRY) + generate_latest(public_registry())


def exact_text() -> bytes:
    """The exposition for the privacy team: everything as it is."""
    return generate_latest(REGISTRY) + generate_latest(PEOPLE)


def _of(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if name not in ("le", "quantile")))
