"""Operations: does the machine keep up, and which downstream is to blame if not?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import Query, course, figure

_RATE = "$__rate_interval"
_BY_TASK = "system, operation"


def build() -> Dashboard:
    """The dashboard; nothing in it is about people."""
    return (
        Dashboard("Data subject requests: operations")
        .uid("dsr-operations")
        .description("For whoever is on duty. Each alert has a section in docs/runbook.md.")
        .tags(["dsr"])
        .readonly()
        .refresh("15s")
        .time("now-3h", "now")
        .with_panel(figure("Services up", "Those that Prometheus reaches.", 'sum(up{job="dsr"})'))
        .with_panel(
            figure("Not yet heard", "Records on the bus, all services.", "sum(dsr:consumer_lag:sum)", warn_from=10_000)
        )
        .with_panel(
            figure(
                "Oldest in an outbox",
                "How long it has waited.",
                "max(dsr_outbox_oldest_seconds)",
                unit="s",
                warn_from=60,
            )
        )
        .with_panel(
            figure(
                "Failed tasks",
                "They wait for a decision.",
                f"sum({_max('service, ' + _BY_TASK, 'dsr_tasks_failed')})",
                warn_from=1,
            )
        )
        .with_panel(
            figure(
                "Dead letters today",
                "Events that were set aside.",
                'sum(increase(dsr_events_heard_total{result="dead_letter"}[1d])) or vector(0)',
                warn_from=1,
            )
        )
        .with_panel(
            figure(
                "Evidence broken",
                "Chains that do not hold.",
                f"sum({_max('service', 'dsr_evidence_broken')})",
                warn_from=1,
            )
        )
        .with_row(Row("Bus"))
        .with_panel(
            course(
                "Lag", "Records that a service has yet to hear.", Query("dsr:consumer_lag:sum", "{{service}} {{topic}}")
            )
        )
        .with_panel(
            course(
                "Events handled",
                "By service and result.",
                Query(f"sum by (service, result) (rate(dsr_events_heard_total[{_RATE}]))", "{{service}} {{result}}"),
                unit="reqps",
            )
        )
        .with_panel(
            course(
                "Outbox", "Messages that wait.", Query(_max("service", "dsr_outbox_messages"), "{{service}}"), wide=8
            )
        )
        .with_panel(
            course(
                "Outbox age",
                "How long the first has waited.",
                Query(_max("service", "dsr_outbox_oldest_seconds"), "{{service}}"),
                unit="s",
                wide=8,
            )
        )
        .with_panel(
            course(
                "Relayed",
                "Messages that the broker took.",
                Query(f"sum by (service) (rate(dsr_outbox_relayed_total[{_RATE}]))", "{{service}}"),
                unit="reqps",
                wide=8,
            )
        )
        .with_row(Row("Downstreams"))
        .with_panel(
            course(
                "Task latency",
                "From a task's opening to its conclusion, p50 and p95.",
                *(
                    Query(_quantile(q, "dsr_task_seconds"), f"p{q} {{{{system}}}} {{{{operation}}}}")
                    for q in (0.5, 0.95)
                ),
                unit="s",
            )
        )
        .with_panel(
            course(
                "Call latency",
                "One call to a downstream, p95.",
                Query(_quantile(0.95, "dsr_task_call_seconds"), "{{system}} {{operation}}"),
                unit="s",
            )
        )
        .with_panel(
            course(
                "Failures",
                "Attempts that ended in an error, of all attempts.",
                Query("dsr:task_failures:ratio5m", "{{system}} {{operation}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Attempts and retries",
                "By result; retries are those that an unavailable system made necessary.",
                Query(f"sum by (system, result) (rate(dsr_tasks_total[{_RATE}]))", "{{system}} {{result}}"),
                Query(f"sum by (system) (rate(dsr_task_retries_total[{_RATE}]))", "retries {{system}}"),
                unit="reqps",
            )
        )
        .with_panel(
            course(
                "Tasks ready",
                "They wait to be worked.",
                Query(_max(f"service, {_BY_TASK}", "dsr_tasks_ready"), "{{service}} {{system}} {{operation}}"),
            )
        )
        .with_panel(
            course(
                "Oldest ready task",
                "How long it has been open.",
                Query(_max(f"service, {_BY_TASK}", "dsr_tasks_ready_oldest_seconds"), "{{system}} {{operation}}"),
                unit="s",
            )
        )
        .with_panel(
            course(
                "Rows",
                "What downstreams reported; what remains after an erasure should be nothing.",
                Query(f"sum by (system, kind) (rate(dsr_task_rows_total[{_RATE}]))", "{{system}} {{kind}}"),
                unit="reqps",
            )
        )
        .with_panel(
            course(
                "Evidence checked",
                "Entries of the chains that were checked again.",
                Query(f"sum by (service) (rate(dsr_evidence_checked_total[{_RATE}]))", "{{service}}"),
                unit="reqps",
            )
        )
        .with_row(Row("Saturation"))
        .with_panel(
            course(
                "Database connections in use",
                "Of those that the process may have.",
                Query(
                    'sum by (service) (dsr_pool_connections{state="busy"}) / sum by (service) (dsr_pool_limit)',
                    "{{service}}",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Loop lag",
                "How late a process comes to its work: above 0.1 s its processor is the limit.",
                Query(_max("service", "dsr_loop_lag_seconds"), "{{service}}"),
                unit="s",
            )
        )
    )


def _max(labels: str, name: str) -> str:
    """Instances of a service count the same tables: one of them is enough."""
    return f"max by ({labels}) ({name})"


def _quantile(quantile: float, name: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le, {_BY_TASK}) (rate({name}_bucket[{_RATE}])))"
