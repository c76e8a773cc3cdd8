"""SLA for the privacy officer: what is open, what is late, and how it will go on."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.panels import Query, course, figure

_OPEN = "dsr:requests_open:sum"
_ANSWERED = "dsr:requests_answered:sum"
_A_DAY = f"(sum({_ANSWERED}) / 30)"
_DECIDED = f'{_ANSWERED}{{outcome!~"withdrawn|forwarded|unidentified"}}'
_NOT_ENOUGH = "Empty where nobody was answered in the last 30 days."


def build() -> Dashboard:
    """The dashboard; its figures count people, so outside the privacy team they come in steps of five."""
    return (
        Dashboard("Data subject requests: SLA")
        .uid("dsr-sla")
        .description("For the privacy officer. Definitions: docs/metrics.md.")
        .tags(["dsr"])
        .readonly()
        .refresh("1m")
        .time("now-30d", "now")
        .with_panel(figure("Open", "Requests without an answer.", f"max({_OPEN})"))
        .with_panel(
            figure(
                "Due in 7 days",
                "Open, and the commitment ends within seven days.",
                "sum(max by (right) (dsr_requests_due_soon))",
            )
        )
        .with_panel(
            figure("Overdue: commitment", "Open after the day that we promised.", _overdue("commitment"), warn_from=1)
        )
        .with_panel(
            figure("Overdue: statutory", "Open after the last day of the law.", _overdue("statutory"), warn_from=1)
        )
        .with_panel(
            figure(
                "On time",
                f"Answered in time, of all answered in the last 30 days or overdue now. {_NOT_ENOUGH}",
                "max(dsr:requests_on_time:ratio)",
                unit="percentunit",
            )
        )
        .with_panel(
            figure(
                "Within the law's limit",
                f"Answered by the statutory day, of all answered in the last 30 days. {_NOT_ENOUGH}",
                f'(sum({_ANSWERED}{{timeliness!="breach"}}) or vector(0)) / sum({_ANSWERED})',
                unit="percentunit",
            )
        )
        .with_row(Row("Open"))
        .with_panel(
            course(
                "Open by right and age",
                "Age in days since receipt.",
                Query("max by (right, age) (dsr_requests_open)", "{{right}}, {{age}} d"),
                wide=24,
            )
        )
        .with_panel(
            course(
                "Open by days until due",
                "By what is left of the commitment.",
                Query("max by (days) (dsr_requests_open_by_days_left)", "{{days}} d"),
            )
        )
        .with_panel(
            course(
                "Burn-down forecast",
                "What is left of today's open requests at the pace of the last 30 days; the trend counts new ones.",
                Query(f"max({_OPEN})", "open"),
                *(
                    Query(f"clamp_min(max({_OPEN}) - {days} * {_A_DAY}, 0)", f"left in {days} days")
                    for days in (7, 14, 28)
                ),
                Query(f"clamp_min(predict_linear({_OPEN}[6h], 7 * 86400), 0)", "trend in 7 days"),
            )
        )
        .with_panel(
            course(
                "Waiting for a person",
                "For an identity, a clarification or a decision.",
                Query("sum by (state) (max by (right, state) (dsr_requests_waiting))", "{{state}}"),
            )
        )
        .with_panel(
            course(
                "Detection lag",
                "From receipt at the source to acceptance; days, nearest rank, by channel.",
                Query("max by (channel, quantile) (dsr_detection_lag_days)", "{{channel}} p{{quantile}}"),
                unit="d",
            )
        )
        .with_row(Row("Answered in the last 30 days"))
        .with_panel(
            course(
                "Time to respond",
                "From receipt at the source to the answer; withdrawn and forwarded ones are not counted.",
                Query("max by (right, quantile) (dsr_time_to_respond_days)", "{{right}} p{{quantile}}"),
                unit="d",
            )
        )
        .with_panel(
            course(
                "Time to close",
                "From receipt at the source to closure.",
                Query("max by (right, quantile) (dsr_time_to_close_days)", "{{right}} p{{quantile}}"),
                unit="d",
            )
        )
        .with_panel(
            course(
                "Refused, partial, unidentified",
                "Shares of what was decided; unidentified apart, of all answered.",
                Query(_share("refused"), "refused, {{right}}"),
                Query(_share("partially_fulfilled"), "partial, {{right}}"),
                Query(
                    f'(sum({_ANSWERED}{{outcome="unidentified"}}) or vector(0)) / sum({_ANSWERED})', "unidentified, all"
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Extensions",
                "Extended, of all whose day as first promised came in the last 30 days; more than 10 % is a warning.",
                Query("dsr:requests_extended:ratio", "extended"),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Extensions by reason, and refused",
                "Approved in the last 30 days; refused attempts since the process started.",
                Query("sum by (reason) (max by (reason) (dsr_extensions_approved)) or vector(0)", "{{reason}}"),
                Query("sum by (flaw) (dsr_extensions_refused_total) or vector(0)", "refused: {{flaw}}"),
            )
        )
        .with_panel(
            course(
                "Suspension",
                "From a question to its answer, by question.",
                Query("max by (question, quantile) (dsr_suspension_days) or vector(0)", "{{question}} p{{quantile}}"),
                unit="d",
            )
        )
        .with_panel(
            course(
                "Within the law's limit, by extension",
                "Answered by the statutory day: within one month, or within three where it was extended.",
                Query(_lawful("no"), "one month"),
                Query(_lawful("yes"), "three months"),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Coverage",
                "Requests with a receipt of every system, of those that were worked.",
                Query(
                    "sum(max by (right) (dsr_requests_covered)) / (sum(max by (right) (dsr_requests_worked)) > 0)",
                    "covered",
                ),
                unit="percentunit",
            )
        )
        .with_panel(
            course(
                "Deferred erasures",
                "What systems had to keep, until it is erased; late: due for over a day; held: nobody named a day.",
                Query("sum by (state) (max by (system, state) (dsr_erasures_deferred)) or vector(0)", "{{state}}"),
            )
        )
    )


def _overdue(clock: str) -> str:
    return f'sum(max by (right) (dsr_requests_overdue{{clock="{clock}"}}))'


def _lawful(extended: str) -> str:
    """Of the answered ones that were extended or not; zero where there are none."""
    kept = f'sum({_ANSWERED}{{extended="{extended}",timeliness!="breach"}}) or vector(0)'
    return f'({kept}) / clamp_min(sum({_ANSWERED}{{extended="{extended}"}}) or vector(0), 1)'


def _share(outcome: str) -> str:
    """Of the decided, by right; zero where none had this outcome."""
    had = f'sum by (right) ({_ANSWERED}{{outcome="{outcome}"}})'
    return f"({had} or 0 * sum by (right) ({_DECIDED})) / sum by (right) ({_DECIDED})"
