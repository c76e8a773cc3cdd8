"""How a panel of ours looks: one title, one sentence, a few queries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, tempo, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef, Threshold, ThresholdsMode

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="dsr-prometheus")
POSTGRES = DataSourceRef(type_val="postgres", uid="dsr-postgres")
TEMPO = DataSourceRef(type_val="tempo", uid="dsr-tempo")

Unit = Literal["short", "d", "s", "percentunit", "reqps"]
Panel = stat.Panel | timeseries.Panel


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and how its series are called."""

    expression: str
    legend: str = "__auto"


class Sql(Dataquery, Builder[Dataquery]):
    """A query to PostgreSQL, for which the SDK has no builder."""

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def build(self) -> Dataquery:
        """Itself: there is nothing to add."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {"refId": "A", "datasource": POSTGRES, "format": "table", "rawQuery": True, "rawSql": self._sql}


def board(empty: dashboard.Dashboard, rows: Mapping[str, Iterable[Panel]]) -> dashboard.Dashboard:
    """A dashboard of ours, with the panels of each row; the row "" has no title of its own."""
    empty.tags(["dsr"]).readonly()
    for title, panels in rows.items():
        if title:
            empty.with_row(dashboard.Row(title))
        for panel in panels:
            empty.with_panel(panel)
    return empty


def figure(
    title: str,
    words: str,
    query: str,
    *,
    unit: Unit = "short",
    warn_from: float | None = None,
    warn: Literal["orange", "red"] = "red",
    good_from: float | None = None,
    wide: int = 4,
) -> stat.Panel:
    """One number; red (or ``warn``) from ``warn_from`` on, or below ``good_from``."""
    steps = [Threshold(value=None, color="green" if good_from is None else "red")]
    if warn_from is not None:
        steps.append(Threshold(value=warn_from, color=warn))
    if good_from is not None:
        steps.append(Threshold(value=good_from, color="green"))
    panel = stat.Panel().title(title).description(words).datasource(PROMETHEUS).unit(unit)
    panel.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    return panel.targets(_targets([Query(query)])).span(wide).height(4)


def course(title: str, words: str, *queries: Query, unit: Unit = "short", wide: int = 12) -> timeseries.Panel:
    """How figures went over time."""
    panel = timeseries.Panel().title(title).description(words).datasource(PROMETHEUS).unit(unit).min(0)
    return panel.targets(_targets(queries)).span(wide).height(8)


def rows(title: str, words: str, sql: str) -> table.Panel:
    """Rows of the platform's own database."""
    panel = table.Panel().title(title).description(words).datasource(POSTGRES).targets([Sql(sql)])
    return panel.show_header(show_header=True).span(24).height(12)


def trace(title: str, words: str) -> dashboard.Panel:
    """The trace of the variable ``trace_id`` as a waterfall."""
    query = tempo.TempoQuery().ref_id("A").datasource(TEMPO).query_type("traceql").query("${trace_id}")
    panel = dashboard.Panel().type("traces").options({}).title(title).description(words).datasource(TEMPO)
    return panel.targets([query]).span(24).height(12)


def _targets(queries: Sequence[Query]) -> list[Builder[Dataquery]]:
    return [
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + number))
        .expr(query.expression)
        .legend_format(query.legend)
        .datasource(PROMETHEUS)
        .range()
        for number, query in enumerate(queries)
    ]
