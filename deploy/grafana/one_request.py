"""One request: its timeline out of the evidence, its trace, and links to what else is known of it."""

import json
from urllib.parse import quote

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.models.dashboard import DashboardLinkType, VariableHide, VariableRefresh

from deploy.grafana.panels import POSTGRES, TEMPO, Query, course, rows, trace

_TIMELINE = """
SELECT at, chain AS service, actor, action, detail FROM evidence.entry
WHERE request_id = ${request_id:sqlstring}::uuid ORDER BY at, chain, seq
"""
_DATES = """
SELECT "right", received_at, due_on, statutory_due_on, responded_at, outcome, timeliness, calc_version
FROM deadline.clock WHERE request_id = ${request_id:sqlstring}::uuid
"""
_TRACE = """
SELECT split_part(traceparent, '-', 2) FROM deadline.clock WHERE request_id = ${request_id:sqlstring}::uuid
"""
_OLDEST = Query("max by (service, system, operation) (dsr_tasks_ready_oldest_seconds)", "{{system}} {{operation}}")

_PANE = {
    "datasource": TEMPO.uid,
    "queries": [{"refId": "A", "queryType": "traceql", "query": "${trace_id}"}],
    "range": {"from": "now-30d", "to": "now"},
}
_EXPLORE = "/explore?schemaVersion=1&orgId=1&panes=" + quote(json.dumps({"dsr": _PANE}), safe="${}")
"""The trace in Grafana itself; Grafana puts the id in where the variable stands."""


def build() -> Dashboard:
    """The dashboard; it reads by request id, so it needs a PostgreSQL user that may read evidence and clocks."""
    return (
        Dashboard("Data subject requests: one request")
        .uid("dsr-request")
        .description("For the privacy team. A request id in, codes, counts and references out: never who it is about.")
        .tags(["dsr"])
        .readonly()
        .time("now-30d", "now")
        .with_variable(TextBoxVariable("request_id").label("Request"))
        .with_variable(TextBoxVariable("intake").label("Intake").default_value("http://127.0.0.1:8080"))
        .with_variable(TextBoxVariable("tracing").label("Tracing UI").default_value("http://127.0.0.1:16686"))
        .with_variable(
            QueryVariable("trace_id")
            .label("Trace")
            .datasource(POSTGRES)
            .query(_TRACE)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .hide(VariableHide.DONT_HIDE)
        )
        .links(
            [
                _link("Timeline (API, with a key)", "${intake}/v1/requests/${request_id}/timeline"),
                _link("Certificate (API, with a key)", "${intake}/v1/requests/${request_id}/certificate"),
                _link("The API in a browser", "${intake}/docs"),
                _link("Trace (Tempo)", _EXPLORE),
                _link("Trace (tracing UI)", "${tracing}/trace/${trace_id}"),
                _link("SLA", "/d/dsr-sla"),
                _link("Operations", "/d/dsr-operations"),
            ]
        )
        .with_panel(rows("Dates", "As they were computed; the clock stops with the answer.", _DATES).height(4))
        .with_panel(rows("Timeline", "Everything that was done, oldest first.", _TIMELINE))
        .with_panel(trace("Trace", "From the HTTP request over the bus to every downstream, if it was sampled."))
        .with_panel(
            course("What it may be waiting for", "Tasks that are ready in each downstream.", _OLDEST, unit="s", wide=24)
        )
    )


def _link(title: str, url: str) -> DashboardLink:
    return DashboardLink(title).type(DashboardLinkType.LINK).url(url).target_blank(target_blank=True)
