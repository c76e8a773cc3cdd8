"""SLA for the privacy officer: what is open, what is late, and how it will go on."""

from collections.abc import Iterator

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Panel, Query, board, course, figure

_OPEN = "dsr:requests_open:sum"
_ANSWERED = "dsr:requests_answered:sum"
_A_DAY = f"(sum({_ANSWERED}) / 30)"
_DECIDED = f'{_ANSWERED}{{outcome!~"withdrawn|forwarded|unidentified"}}'
_DUE_SOON = "sum(max by (right) (dsr_requests_due_soon))"
_NOT_ENOUGH = "Empty where nobody was answered in the last 30 days."


def build() -> Dashboard:
    """The dashboard; its figures count people, so outside the privacy team they come in steps of five."""
    dashboard = Dashboard("Data subject requests: SLA").uid("dsr-sla").refresh("1m").time("now-30d", "now")
    dashboard.description("For the privacy officer. Definitions: docs/metrics.md.")
    return board(dashboard, {"": _now(), "Open": _open_now(), "Answered in the last 30 days": _answered_lately()})


def _now() -> Iterator[Panel]:
    """What matters today."""
    yield figure("Open", "Requests without an answer.", f"max({_OPEN})")
    yield figure(
        "Due in 7 days",
        "Open, and the day that we promised (extended, where it was) is one of the next seven, or today.",
        _DUE_SOON,
        warn_from=1,
        warn="orange",
    )
    yield figure(
        "Overdue: commitment",
        "Open after the day that we promised, extended where it was.",
        _overdue("commitment"),
        warn_from=1,
    )
    late = _overdue("statutory")
    yield figure("Overdue: statutory", "Open after the last day of the law: a breach of Art. 12(3).", late, warn_from=1)
    yield figure(
        "On time",
        f"Answered in time, of all answered in the last 30 days or overdue now. {_NOT_ENOUGH}",
        "max(dsr:requests_on_time:ratio)",
        unit="percentunit",
        good_from=0.95,
    )
    yield figure(
        "Within the law's limit",
        f"Answered by the statutory day, of all answered in the last 30 days. {_NOT_ENOUGH}",
        f'(sum({_ANSWERED}{{timeliness!="breach"}}) or vector(0)) / sum({_ANSWERED})',
        unit="percentunit",
        good_from=1,
    )


def _open_now() -> Iterator[Panel]:
    """What has no answer yet."""
    yield figure("Answered a day", "On average of the last 30 days, whatever the outcome.", _A_DAY, wide=8)
    yield figure(
        "Through in",
        "Days until everything that is open now is answered, at the pace of the last 30 days and if nothing "
        f"new comes. Red from 30 days on: the last of them would be late. {_NOT_ENOUGH}",
        f"max({_OPEN}) / ({_A_DAY} > 0)",
        unit="d",
        warn_from=30,
        wide=8,
    )
    yield figure(
        "This week's load",
        "Overdue or due within seven days, of what seven days get done at the pace of the last 30 days. Above "
        f"100 % somebody will be answered late. {_NOT_ENOUGH}",
        f"({_DUE_SOON} + {_overdue('commitment')}) / (7 * {_A_DAY} > 0)",
        unit="percentunit",
        warn_from=1,
        wide=8,
    )
    yield course(
        "Open by right and age",
        "Age in whole days since the day of receipt, where the controller is.",
        Query("max by (right, age) (dsr_requests_open)", "{{right}}, {{age}} d"),
        wide=24,
    )
    yield course(
        "Open by days until due",
        "Days until the commitment ends; `over` are overdue, `more` have more than 30 days.",
        Query("max by (days) (dsr_requests_open_by_days_left)", "{{days}} d"),
    )
    yield course(
        "Burn-down forecast",
        "What would be left of the requests open now in 7, 14 and 28 days, at the pace of the last 30 days and "
        "if nothing new came; the trend goes on as the last 7 days went, new ones included.",
        Query(f"max({_OPEN})", "open"),
        *(Query(f"clamp_min(max({_OPEN}) - {days} * {_A_DAY}, 0)", f"left in {days} days") for days in (7, 14, 28)),
        Query(f"clamp_min(predict_linear({_OPEN}[7d], 7 * 86400), 0)", "trend in 7 days"),
    )
    waiting = Query("sum by (state) (max by (right, state) (dsr_requests_waiting))", "{{state}}")
    yield course("Waiting for a person", "For an identity, a clarification or a decision.", waiting)
    yield course(
        "Detection lag",
        "From receipt at the source to acceptance; days, nearest rank, by channel.",
        _percentiles("channel", "dsr_detection_lag_days"),
        unit="d",
    )
    by_law = Query("max by (regime, timeliness) (dsr_requests_open_by_regime)", "{{regime}}, {{timeliness}}")
    yield course("Open by law", "By the law that they stand under, and as timely as an answer would be now.", by_law)
    yield course(
        "Verification",
        "Of all requests accepted in the last 30 days: those whose requester had to prove who they are, and "
        "those who did.",
        Query(_of_accepted("identity_needed"), "needed"),
        Query(_of_accepted("identity_verified"), "passed"),
        unit="percentunit",
    )


def _answered_lately() -> Iterator[Panel]:
    """How the last answers were."""
    yield course(
        "Time to respond",
        "Days from receipt at the source to the answer, nearest rank; without withdrawn and forwarded ones.",
        _percentiles("right", "dsr_time_to_respond_days"),
        unit="d",
    )
    days = _percentiles("right", "dsr_time_to_close_days")
    yield course("Time to close", "Days from receipt at the source to closure, nearest rank.", days, unit="d")
    yield course(
        "From acceptance to closure",
        "How long requests are open with us, of those closed in the last 30 days.",
        *(Query(_open_for(quantile), f"{{{{right}}}} p{quantile * 100:g}") for quantile in (0.5, 0.95)),
        unit="s",
    )
    yield course(
        "Refused, partial, unidentified",
        "Shares of what was decided; unidentified apart, of all answered.",
        Query(_share("refused"), "refused, {{right}}"),
        Query(_share("partially_fulfilled"), "partial, {{right}}"),
        Query(f'(sum({_ANSWERED}{{outcome="unidentified"}}) or vector(0)) / sum({_ANSWERED})', "unidentified, all"),
        unit="percentunit",
    )
    yield course(
        "Extensions",
        "Extended, of all whose day as first promised came in the last 30 days; more than 10 % is a warning.",
        Query("dsr:requests_extended:ratio", "extended"),
        unit="percentunit",
    )
    yield course(
        "Extensions by reason, and refused",
        "Approved in the last 30 days; refused attempts since the process started, by what was wrong. Empty "
        "where there were none.",
        Query("max by (reason) (dsr_extensions_approved)", "{{reason}}"),
        Query("sum by (flaw) (dsr_extensions_refused_total)", "refused: {{flaw}}"),
    )
    yield course(
        "Suspension",
        "From a question to its answer, by question, nearest rank; for `identity` that is the time to verify. "
        "Empty where none was answered.",
        _percentiles("question", "dsr_suspension_days"),
        unit="d",
    )
    asked = "sum by (question) (max by (question, in_time) (dsr_questions_asked))"
    yield course(
        "Questions asked in time",
        "Sent within three working days of the receipt, of all questions of the last 30 days; one that is "
        "asked later does not stop the statutory clock. Empty where none was sent.",
        Query(f'max by (question) (dsr_questions_asked{{in_time="yes"}}) / ({asked} > 0)', "{{question}}"),
        unit="percentunit",
    )
    yield course(
        "Targets missed",
        "Steps that the staff did not take in time, since the process started. Empty where none was missed.",
        Query("sum by (target) (dsr_targets_missed_total)", "{{target}}"),
    )
    by_law = Query("max by (regime, timeliness) (dsr_requests_answered_by_regime)", "{{regime}}, {{timeliness}}")
    yield course("Answered by law", "By the law that they stood under, and how timely the answer was.", by_law)
    yield course(
        "Within the law's limit, by extension",
        "Answered by the statutory day: within one month, or within three where it was extended. Empty where none was.",
        Query(_lawful("no"), "one month"),
        Query(_lawful("yes"), "three months"),
        unit="percentunit",
    )
    yield course(
        "Coverage",
        "Requests with a receipt of every system, of those that were worked.",
        Query(
            "sum(max by (right) (dsr_requests_covered)) / (sum(max by (right) (dsr_requests_worked)) > 0)", "covered"
        ),
        unit="percentunit",
    )
    yield course(
        "Deferred erasures",
        "What systems had to keep, until it is erased; late: due for over a day; held: nobody named a day.",
        Query("sum by (state) (max by (system, state) (dsr_erasures_deferred)) or vector(0)", "{{state}}"),
    )
    yield course(
        "Processor requests",
        "To be passed on to a customer within two working days, and passed on in the last 30 days; in none of "
        "the figures above. Days from receipt until passed on, nearest rank: empty where none was.",
        Query("max by (in_time) (dsr_processor_requests_open)", "open, in time: {{in_time}}"),
        Query("max by (in_time) (dsr_processor_forwarded)", "passed on, in time: {{in_time}}"),
        Query("max by (quantile) (dsr_processor_forwarding_days)", "days p{{quantile}}"),
        wide=24,
    )


def _percentiles(label: str, name: str) -> Query:
    return Query(f"max by ({label}, quantile) ({name})", f"{{{{{label}}}}} p{{{{quantile}}}}")


def _overdue(clock: str) -> str:
    return f'sum(max by (right) (dsr_requests_overdue{{clock="{clock}"}}))'


def _lawful(extended: str) -> str:
    """Of the answered ones that were extended or not; nothing where there are none, zero where all are late."""
    kept = f'sum({_ANSWERED}{{extended="{extended}",timeliness!="breach"}}) or vector(0)'
    return f'({kept}) / sum({_ANSWERED}{{extended="{extended}"}})'


def _of_accepted(event: str) -> str:
    """A share of the last 30 days, whatever was restarted in them."""
    happened, accepted = (f'sum(increase(dsr_requests_total{{event="{e}"}}[30d]))' for e in (event, "accepted"))
    return f"{happened} / ({accepted} > 0)"


def _open_for(quantile: float) -> str:
    return f"histogram_quantile({quantile}, sum by (le, right) (increase(dsr_request_open_seconds_bucket[30d])))"


def _share(outcome: str) -> str:
    """Of the decided, by right; zero where none had this outcome."""
    had = f'sum by (right) ({_ANSWERED}{{outcome="{outcome}"}})'
    return f"({had} or 0 * sum by (right) ({_DECIDED})) / sum by (right) ({_DECIDED})"
