"""How a panel of ours looks: one title, one sentence, a few queries."""

from collections.abc import Sequence
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


@dataclass(frozen=True)
class Query:
    """A PromQL expression, and how its series are called."""

    expression: str
    legend: str = "__auto"


class Sql(Dataquery):
    """A query to PostgreSQL, for which the SDK has no builder."""

    def __init__(self, sql: str) -> None:
        self._sql = sql

    def build(self) -> Dataquery:
        """Itself: there is nothing to add."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {"refId": "A", "datasource": POSTGRES, "format": "table", "rawQuery": True, "rawSql": self._sql}


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
    return (
        stat.Panel()
        .title(title)
        .description(words)
        .datasource(PROMETHEUS)
        .unit(unit)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        .targets(_targets([Query(query)]))
        .span(wide)
        .height(4)
    )


def course(
    title: str, words: str, *queries: Query, unit: Unit = "short", wide: int = 12, from_zero: bool = True
) -> timeseries.Panel:
    """How figures went over time."""
    panel = timeseries.Panel().title(title).description(words).datasource(PROMETHEUS).unit(unit)
    if from_zero:
        panel = panel.min(0)
    return panel.targets(_targets(queries)).span(wide).height(8)


def rows(title: str, words: str, sql: str, *, wide: int = 24) -> table.Panel:
    """Rows of the platform's own database."""
    target: Builder[Dataquery] = _Ready(Sql(sql))
    panel = table.Panel().title(title).description(words).datasource(POSTGRES).targets([target])
    return panel.show_header(show_header=True).span(wide).height(12)


def trace(title: str, words: str, trace_id: str, *, wide: int = 24) -> dashboard.Panel:
    """One trace as a waterfall."""
    query = tempo.TempoQuery().ref_id("A").datasource(TEMPO).query_type("traceql").query(trace_id)
    return (
        dashboard.Panel()
        .type("traces")
        .options({})
        .title(title)
        .description(words)
        .datasource(TEMPO)
        .targets([query])
        .span(wide)
        .height(12)
    )


class _Ready(Builder[Dataquery]):
    def __init__(self, query: Dataquery) -> None:
        self._query = query

    def build(self) -> Dataquery:
        return self._query


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
