"""The SLA page: plots, with their tables folded below them."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from markupsafe import Markup
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import plots
from services.console.console import Console, ConsoleContext
from services.console.roles import StaffPower
from services.intake.queries import sla
from services.intake.queries.sla import AGES, Sla
from services.web.site import Visit
from shared.domain.time_limit_policy import Commitment
from shared.runtime.metrics import Mean
from shared.runtime.settings import PolicySettings

_KEPT: Final = timedelta(minutes=1)


def routes(console: Console) -> list[BaseRoute]:
    """The page."""
    return [console.private("/sla", SlaPage(console.context).show, StaffPower.SEE)]


class SlaPage:
    """The page, and its figures for a minute."""

    def __init__(self, context: ConsoleContext) -> None:
        self._unit_of_work = context.services.unit_of_work
        self._commitment = PolicySettings().read_time_limits().commitment
        self._figures: Sla | None = None

    async def show(self, visit: Visit) -> Response:
        """Shows response times and open requests, by right and by system."""
        figures = await self._read()
        return visit.page(
            "sla.html",
            figures=figures,
            ages=[name for name, _ in AGES],
            promised=self._commitment.average_business_days,
            calendar=self._commitment.staff_calendar,
            plots=drawn(figures, self._commitment),
        )

    async def _read(self) -> Sla:
        now = self._unit_of_work.clock.now()
        if self._figures is None or not self._figures.at <= now < self._figures.at + _KEPT:
            async with self._unit_of_work.pool.acquire() as connection:
                self._figures = await sla.read(connection, now, self._commitment)
        return self._figures


def drawn(figures: Sla, commitment: Commitment) -> Mapping[str, Markup]:
    """The plots; pure."""
    first, last = commitment.average_business_days
    kept = [
        (_spelled(right), (each.in_time, each.answered - each.in_time, each.overdue), f"{each.rate:.0%}")
        for right, each in figures.on_time.items()
        if each.rate is not None
    ]
    ages = [
        (_spelled(right), tuple(map(float, by_age.values())), str(sum(by_age.values())))
        for right, by_age in figures.ages.items()
        if sum(by_age.values())
    ]
    band = (float(first), float(last))
    return {
        "burn_down": plots.line("Open requests at the end of each day", [(d.day, d.open) for d in figures.days]),
        "on_time": plots.bars("In time, late and overdue, by right", kept),
        "ages": plots.bars("Open requests by age, by right", ages),
        "by_right": plots.bars("Mean business days to the answer, by right", _means(figures.response.by_right), band),
        "by_system": plots.bars("Mean business days, by system", _means(figures.response.by_system), band),
    }


def _means(means: Mapping[str, Mean]) -> list[plots.Bar]:
    return [(_spelled(name), (mean.value,), f"{mean.value:.1f}") for name, mean in sorted(means.items())]


def _spelled(word: str) -> str:
    return word.replace("_", " ")
