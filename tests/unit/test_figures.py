"""Figures that are put together from counts: the burn-down, and means in business days; and how they are drawn."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric

from services.intake.console import plots
from services.intake.figures.business_days import means
from services.intake.figures.sla import OnTime, burn_down
from shared.domain.working_days import calendar
from shared.runtime.disclosure import for_everybody
from shared.runtime.metrics import Mean

TODAY = date(2026, 3, 10)


def test_what_was_open_is_counted_back_from_what_is_open_now() -> None:
    days = burn_down(TODAY, 5, {TODAY: 2}, {TODAY: 1, TODAY - timedelta(days=1): 4})
    assert [each.open for each in days[-3:]] == [8, 4, 5]


def test_a_mean_counts_each_answer_once_and_what_came_today_took_no_day() -> None:
    friday, tuesday = date(2026, 3, 6), date(2026, 3, 10)
    rows = [("access", friday, friday, 3), ("access", friday, tuesday, 1)]
    assert means(rows, calendar("US")) == {"access": Mean(4, 0.5)}


def test_what_is_overdue_counts_among_what_should_have_been_answered() -> None:
    assert OnTime(answered=3, in_time=3, overdue=1).rate == 0.75
    assert OnTime(0, 0, 0).rate is None


def test_what_a_plot_says_is_text_whatever_it_is() -> None:
    drawn = plots.bars("<b>", [("<script>", (1.0,), "&")], (5, 7))
    assert "<script>" not in drawn
    assert 'aria-label="&lt;b&gt;"' in drawn
    assert plots.line("nothing", [(TODAY, 0.0)]).startswith("<svg")


# What everybody may see of figures about people: steps of five, nothing of fewer than five.
def shown(family: Metric) -> dict[str, float]:
    return {f"{sample.name}{sorted(sample.labels.items())}": sample.value for sample in for_everybody(family).samples}


def family(registry: CollectorRegistry) -> Metric:
    return next(iter(registry.collect()))


@pytest.mark.parametrize(("people", "told"), [(0, 0), (1, None), (4, None), (5, 5), (9, 5), (10, 10), (1003, 1000)])
def test_a_count_is_told_in_fives_and_not_below(people: int, told: int | None) -> None:
    registry = CollectorRegistry()
    Gauge("open", "words", registry=registry).set(people)
    assert shown(family(registry)) == ({} if told is None else {"open[]": told})


def test_a_counter_tells_neither_its_last_few_nor_when_it_began() -> None:
    registry = CollectorRegistry()
    counter = Counter("asked", "words", ["right"], registry=registry)
    counter.labels("access").inc(7)
    counter.labels("objection").inc(4)
    assert shown(family(registry)) == {"asked_total[('right', 'access')]": 5}


def test_a_histogram_of_fewer_than_five_is_not_told_and_no_sum_ever() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("seconds", "words", ["right"], buckets=(1, 10), registry=registry)
    for seconds in (0.5, 0.5, 2, 2, 2, 2, 20):
        histogram.labels("access").observe(seconds)
    for seconds in (0.5, 2, 2, 20):
        histogram.labels("objection").observe(seconds)
    buckets = {
        "seconds_bucket[('le', '1.0'), ('right', 'access')]": 0,
        "seconds_bucket[('le', '10.0'), ('right', 'access')]": 5,
        "seconds_bucket[('le', '+Inf'), ('right', 'access')]": 5,
        "seconds_count[('right', 'access')]": 5,
    }
    assert shown(family(registry)) == buckets


@given(st.integers(0, 200))
def test_percentiles_are_told_of_five_cases_or_more(cases: int) -> None:
    summary = Metric("days", "words", "summary")
    summary.add_sample("days", {"right": "access", "quantile": "0.5"}, 12.25)
    summary.add_sample("days_count", {"right": "access"}, cases)
    told = shown(summary)
    if 0 < cases < 5:
        assert told == {}
    else:
        assert told["days[('quantile', '0.5'), ('right', 'access')]"] == 12.25
        assert told["days_count[('right', 'access')]"] == cases // 5 * 5


def test_a_mean_of_five_cases_is_told_as_it_is_and_one_of_fewer_not_at_all() -> None:
    metric = Metric("days", "words", "gauge")
    for right, cases, mean in (("access", 7, 6.2), ("objection", 4, 1.5)):
        metric.add_sample("days", {"right": right}, mean)
        metric.add_sample("days_count", {"right": right}, cases)
    assert shown(metric) == {"days[('right', 'access')]": 6.2, "days_count[('right', 'access')]": 5}
