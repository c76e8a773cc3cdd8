"""Operations: does the machine keep up, and which downstream is to blame if not?"""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Panel, Query, board, course, figure

_RATE = "$__rate_interval"
_BY_TASK = "system, operation"


def build() -> Dashboard:
    """The dashboard; nothing in it is about people."""
    dashboard = (
        Dashboard("Data subject requests: operations").uid("dsr-operations").refresh("15s").time("now-3h", "now")
    )
    dashboard.description("For whoever is on duty. Each alert has a section in docs/runbook.md.")
    rows = {"": _now(), "Bus": _bus(), "Downstreams": _downstreams(), "Saturation": _saturation()}
    return board(dashboard, rows)


def _now() -> Iterator[Panel]:
    yield figure("Services up", "Those that Prometheus reaches.", 'sum(up{job="dsr"})')
    yield figure("Not yet heard", "Records on the bus, all services.", "sum(dsr:consumer_lag:sum)", warn_from=10_000)
    oldest = "max(dsr_outbox_oldest_seconds)"
    yield figure("Oldest in an outbox", "How long it has waited.", oldest, unit="s", warn_from=60)
    failed = f"sum({_max(f'service, {_BY_TASK}', 'dsr_tasks_failed').expression})"
    yield figure("Failed tasks", "They wait for a decision.", failed, warn_from=1)
    set_aside = 'sum(increase(dsr_events_heard_total{result="dead_letter"}[1d])) or vector(0)'
    yield figure("Dead letters today", "Events that were set aside.", set_aside, warn_from=1)
    broken = f"sum({_max('service', 'dsr_evidence_broken').expression})"
    yield figure("Evidence broken", "Chains that do not hold.", broken, warn_from=1)


def _bus() -> Iterator[Panel]:
    yield course("Lag", "Records that a service has yet to hear.", _by("service, topic", "dsr:consumer_lag:sum"))
    handled = _rate("service, result", "dsr_events_heard_total")
    yield course("Events handled", "By service and result.", handled, unit="reqps")
    yield course("Outbox", "Messages that wait.", _max("service", "dsr_outbox_messages"), wide=8)
    age = _max("service", "dsr_outbox_oldest_seconds")
    yield course("Outbox age", "How long the first has waited.", age, unit="s", wide=8)
    relayed = _rate("service", "dsr_outbox_relayed_total")
    yield course("Relayed", "Messages that the broker took.", relayed, unit="reqps", wide=8)


def _downstreams() -> Iterator[Panel]:
    yield course(
        "Task latency",
        "From a task's opening to its conclusion, p50 and p95.",
        *(_quantile(q, "dsr_task_seconds", prefix=f"p{q} ") for q in (0.5, 0.95)),
        unit="s",
    )
    call = _quantile(0.95, "dsr_task_call_seconds")
    yield course("Call latency", "One call to a downstream, p95.", call, unit="s")
    failures = _by(_BY_TASK, "dsr:task_failures:ratio5m")
    yield course("Failures", "Attempts that ended in an error, of all attempts.", failures, unit="percentunit")
    yield course(
        "Attempts and retries",
        "By result; retries are those that an unavailable system made necessary.",
        _rate("system, result", "dsr_tasks_total"),
        _rate("system", "dsr_task_retries_total", prefix="retries "),
        unit="reqps",
    )
    yield course("Tasks ready", "They wait to be worked.", _max(f"service, {_BY_TASK}", "dsr_tasks_ready"))
    oldest = Query(f"max by (service, {_BY_TASK}) (dsr_tasks_ready_oldest_seconds)", "{{system}} {{operation}}")
    yield course("Oldest ready task", "How long it has been open.", oldest, unit="s")
    yield course(
        "Rows",
        "What downstreams reported; what remains after an erasure should be nothing.",
        _rate("system, kind", "dsr_task_rows_total"),
        unit="reqps",
    )
    checked = _rate("service", "dsr_evidence_checked_total")
    yield course("Evidence checked", "Entries of the chains that were checked again.", checked, unit="reqps")


def _saturation() -> Iterator[Panel]:
    used = 'sum by (service) (dsr_pool_connections{state="busy"}) / sum by (service) (dsr_pool_limit)'
    words = "Of those that the process may have."
    yield course("Database connections in use", words, _by("service", used), unit="percentunit")
    words = "How late a process comes to its work: above 0.1 s its processor is the limit."
    yield course("Loop lag", words, _max("service", "dsr_loop_lag_seconds"), unit="s")


def _by(labels: str, expression: str, prefix: str = "") -> Query:
    """A query whose series are called by their labels."""
    return Query(expression, prefix + " ".join(f"{{{{{label}}}}}" for label in labels.split(", ")))


def _rate(labels: str, name: str, prefix: str = "") -> Query:
    return _by(labels, f"sum by ({labels}) (rate({name}[{_RATE}]))", prefix)


def _max(labels: str, name: str) -> Query:
    """Instances of a service count the same tables: one of them is enough."""
    return _by(labels, f"max by ({labels}) ({name})")


def _quantile(quantile: float, name: str, prefix: str = "") -> Query:
    rate = f"sum by (le, {_BY_TASK}) (rate({name}_bucket[{_RATE}]))"
    return _by(_BY_TASK, f"histogram_quantile({quantile}, {rate})", prefix)
