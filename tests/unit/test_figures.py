"""Figures that are put together from counts: the burn-down, and means in business days; and how they are drawn."""

from datetime import date, timedelta

from services.intake.console import plots
from services.intake.figures.business_days import means
from services.intake.figures.sla import OnTime, burn_down
from shared.domain.working_days import calendar
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
