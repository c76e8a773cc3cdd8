"""Operators see where something went wrong, and never whose data it concerned."""

import ast
import importlib
import io
import logging
import pkgutil
import ssl
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import Metric
from pydantic import SecretStr

import services
import shared
from services.console import plots
from services.intake.queries.sla import OnTime, burn_down, means
from shared.domain.errors import (
    AnswerMalformed,
    ColumnUnmapped,
    DoneBefore,
    LimitExceeded,
    Misconfigured,
    Refused,
    TableMissing,
    WrongPersonMatch,
)
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.working_days import calendar
from shared.fulfilment.failures import failure_details, failure_sentence
from shared.runtime.disclosure import rounded
from shared.runtime.metrics import Mean
from shared.runtime.settings import KafkaSettings
from shared.runtime.telemetry import DiscreetFormatter, Tracing, traceparent, where
from shared.systems.bounds import plausible
from shared.systems.bus.messages import MalformedReply, parse_reply
from shared.systems.contract import Receipt
from shared.systems.http.declaration import Resource
from shared.systems.http.system import must_be_classified
from shared.systems.settings import LimitedSettings
from tests.fixtures.downstream import task

PERSONAL = "ada.lovelace@example.org"


def look_up() -> None:
    raise KeyError(PERSONAL)


def failure() -> Exception:
    with pytest.raises(KeyError) as raised:
        look_up()
    return raised.value


def test_error_is_logged_by_name_and_place_without_its_message() -> None:
    place = where(failure())
    assert place.startswith("KeyError at test_telemetry.py:")
    assert place.endswith(" look_up")
    assert PERSONAL not in place


def test_every_error_of_a_group_is_logged() -> None:
    group = ExceptionGroup(PERSONAL, [failure(), ExceptionGroup(PERSONAL, [failure()])])
    assert where(group).count("KeyError at") == 2
    assert PERSONAL not in where(group)


def test_message_of_a_logged_exception_stays_out() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(DiscreetFormatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("some library")
    logger.addHandler(handler)
    try:
        look_up()
    except KeyError:
        logger.exception("it broke", stack_info=True)
    finally:
        logger.removeHandler(handler)
    assert "ERROR it broke\nKeyError at test_telemetry.py:" in stream.getvalue()
    assert PERSONAL not in stream.getvalue()


def test_whether_a_trace_is_sampled_is_one_bit_of_its_flags() -> None:
    tracing = Tracing(TracerProvider().get_tracer("test"))
    parents = [f"00-{'a' * 32}-{'b' * 16}-{flags}" for flags in ("01", "03", "02", "00")]
    with tracing.each("handle", parents) as traces:
        went_on = [trace == f"{parent[:-2]}00" for trace, parent in zip(traces, parents, strict=True)]
    assert went_on == [False, False, True, True]
    assert [str(trace)[-2:] for trace in traces] == ["01", "01", "00", "00"]


def test_of_the_flags_of_a_trace_only_the_one_that_we_know_goes_further() -> None:
    assert [traceparent(TRACE[:-2] + flags) for flags in ("00", "01", "fe", "ff")] == [
        TRACE[:-2] + flags for flags in ("00", "01", "00", "01")
    ]


TRACE = f"00-{'a1' * 16}-{'b2' * 8}-01"


@pytest.mark.parametrize(
    "said",
    [
        PERSONAL,
        "",
        f"{TRACE} ",
        f"{TRACE}\n",
        f"{TRACE}-{PERSONAL}",
        TRACE.upper(),
        TRACE.replace("00-", "ff-", 1),
        f"00-{'0' * 32}-{'b2' * 8}-01",
        f"00-{'a1' * 16}-{'0' * 16}-01",
        "0" * 2_200_000,
    ],
)
@pytest.mark.parametrize("begins", [False, True])
def test_what_is_no_traceparent_to_the_letter_goes_no_further(said: str, *, begins: bool) -> None:
    tracing = Tracing(TracerProvider().get_tracer("test"), begins=begins)
    assert traceparent(said) is None
    with tracing.serve("submit", said) as passed_on:
        assert passed_on != said
    with tracing.each("handle", [said, TRACE]) as parents:
        assert parents[0] is None
        assert str(parents[1]).startswith(TRACE[:36])
    with tracing.together("call", [said]):
        pass


def test_a_traceparent_is_passed_on_where_nothing_is_recorded() -> None:
    with Tracing(TracerProvider().get_tracer("test")).serve("submit", TRACE[:-1] + "0") as passed_on:
        assert passed_on == TRACE[:-1] + "0"


# What the settings say about the broker's users and encryption is what every client of it is given.
def test_one_machine_needs_no_identity() -> None:
    assert KafkaSettings(bootstrap="127.0.0.1:9092").client() == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
    }


def test_in_a_cluster_a_service_proves_its_password_over_a_checked_connection() -> None:
    password = SecretStr("known to two")
    given = KafkaSettings(
        bootstrap="b:9093", security_protocol="SASL_SSL", username="dsr-erasure", password=password
    ).client()
    assert (given["sasl_mechanism"], given["sasl_plain_username"]) == ("SCRAM-SHA-512", "dsr-erasure")
    assert given["sasl_plain_password"] == "known to two"
    assert given["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert given["ssl_context"].check_hostname is True


def test_a_user_without_a_password_is_said_before_anything_connects() -> None:
    with pytest.raises(Misconfigured, match="DSR_KAFKA_PASSWORD"):
        KafkaSettings(bootstrap="b:9093", security_protocol="SASL_SSL", username="dsr-erasure").client()


def test_the_password_does_not_show_when_settings_are_printed() -> None:
    settings = KafkaSettings(bootstrap="b:9093", password=SecretStr("known to two"))
    assert "known to two" not in repr(settings)


# The sentence of a failure is its adapter's, unless it could contain personal data.
GENERAL = "The system's search returned people other than the subject; nothing was changed."


def test_a_failure_says_which_limit_has_stopped_it_and_how_much_was_found() -> None:
    stopped = LimitedSettings(max_rows=1_000).excess(task(Operation.ERASE), rows=12_345_678)
    assert stopped is not None
    assert failure_details(stopped) == {
        "sentence": "12,345,678 are found, and max_rows = 1,000; nothing was done",
        "exceeded": {"limit": "max_rows", "found": 12_345_678, "allowed": 1_000},
    }


def test_work_before_a_failure_is_reported_in_counts_with_their_verification() -> None:
    left = Refused("two are left")
    left.done_before = DoneBefore(found=5, changed=3, remaining=2, reported=True)
    counts = {"found": 5, "changed": 3, "remaining": 2}
    assert failure_details(left) == {"sentence": "two are left", **counts, "reported": True}
    left.done_before = DoneBefore(found=5, changed=3, remaining=2)
    assert failure_details(left) == {"sentence": "two are left", **counts}


def test_a_limit_without_a_number_cannot_be_confirmed() -> None:
    assert failure_details(LimitExceeded("too many")) == {"sentence": "too many"}


@pytest.mark.parametrize(
    "said", ["held by ada@example.org", "found +49 30 901820", "found 49309018200", "a\u202eb", ""]
)
def test_what_could_hold_somebodys_data_is_said_in_general(said: str) -> None:
    assert failure_sentence(WrongPersonMatch(said)) == GENERAL


def test_a_sentence_is_one_line_and_not_long() -> None:
    assert failure_sentence(TableMissing("no\n\ttable")) == "no table"
    assert len(failure_sentence(Refused("x" * 5_000))) == 300


def test_what_could_not_be_searched_has_a_sentence_too() -> None:
    assert all(reason.sentence for reason in Unsearched)


def test_a_limit_that_was_confirmed_is_the_number_that_was_confirmed() -> None:
    settings = LimitedSettings(max_rows=1_000)
    confirmed = replace(task(Operation.ERASE), confirmed={Limit.MAX_ROWS: 1_500})
    assert settings.excess(confirmed, rows=1_500) is None
    more = settings.excess(confirmed, rows=1_501)
    assert more is not None
    assert more.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=1_501, allowed=1_500)


# The sentence of a failure goes on the bus: what stands in it is ours, and nothing that a system answered.
OURS = {
    "names from the downstreams file, its settings and the datasets": (
        "self._system self.system self._name self._system.name self.dataset.name shape.place record.shape.place"
        " self._place self._downstream.name self._tracker.system"
        " ', '.join(bare) system task.system tracker.system step.system name"
        " system.name self.system.name"
        " dataset.name table.name self._domain self._sign_in self._names type_"
        " anchor due.anchor"
    ),
    "names from our code: operations, flags, models, methods, fields, headers, classes, kinds of record, versions": (
        "step.operation reply.operation erased.outcome API_VERSION DOMAIN_HEADER SIGNATURE_HEADER RESOLVED"
        " classname field flag kind operation task.operation method model to verb"
        " type(error).__name__ type(key).__name__ route searched"
    ),
    "counts and limits": (
        "len(remaining) count times erased.remaining check.remaining left len(answers) len(each) len(hits) len(tasks)"
        " limit limits.answer_depth limits.answer_items lines answer.status response.status_code check.found"
        " records remaining status"
        " still_found kept"
    ),
    "what is wrong, in our own sentences": (
        "' and '.join(faults) '; '.join(wrong) reason_of(text) opposed self._advice(leased)"
        " ', and others '.join(why) not_signed(named, today) said"
    ),
    "which of our fields an answer lacks, or has in another form": "', '.join(fields)",
    "which of the types and formats that we know a processor takes": "', '.join(formats) ', '.join(sorted(missing))",
    "a word that the downstreams file lists for the team, or of the policy": "reason word names",
    "the sentence of a failure, looked at again": "failure_sentence(result)",
    "fields that the adapter knows, and what follows of the rest": (
        "change.field ', '.join(held) ', '.join(sorted(stuck)) ', '.join(sorted(reached)) what ', '.join(sorted(held))"
        " ', '.join(lacking) places"
    ),
    "categories of the policy that a system declares to hold": (
        "withdrawn partly categories category next(iter(shapes.values())).category reasons"
    ),
    "names from the policy: rules, their anchors, and what a dataset calls a category": (
        "', '.join(rules) ', '.join(sorted(named)) ', '.join(unsigned)"
    ),
    "fields of rows that a team declares": "', '.join(held)",
    "a ground, which is a word without four digits in a row (bounds.py)": "ground",
    "a name in the store's catalogue, a field's name, and a class of its errors": (
        "column held min(absent) relation.kind names[key.child] names[key.parent] ', '.join(names)"
        " getattr(error, 'sqlstate', None)"
        " schema dataset derived[0] key.name"
        " held named ', '.join(said) ', '.join(found)"
        " ', '.join(sorted(shown))"
    ),
    "what the declaration of an HTTP interface says of it": (
        "hit.resource find.id listing.method listing.path where key slot[1] job.within verify.within"
        " pages.max pages.next state.reason each.reason pages.size"
        " request.method request.path request.permission"
        " ', '.join(remaining) ', '.join(unseen) ', '.join(sorted(held))"
    ),
}
"""Allowed content of a failure's sentence, by kind."""


def test_a_failure_repeats_nothing_that_a_system_or_a_person_has_said() -> None:
    known = {ast.unparse(ast.parse(each)) for text in OURS.values() for each in _expressions(text)}
    said = set(_said())
    assert said - known == set(), "look at what that is; if it is ours, say in OURS what it is"


def test_unnamed_field_is_not_repeated() -> None:
    with pytest.raises(ColumnUnmapped) as refused:
        must_be_classified(
            "shop", cast("Resource", SimpleNamespace(fields={})), {"Ada Lovelace": 1, "+4930123456": 2, "shoeSize": 41}
        )
    assert str(refused.value).endswith("does not classify: one whose name is none, shoeSize")


def _expressions(text: str) -> Iterator[str]:
    """The expressions of a text; a blank separates them where both sides are whole."""
    held = ""
    for part in text.split(" "):
        held = f"{held} {part}" if held else part
        try:
            ast.parse(held)
        except SyntaxError:
            continue
        yield held
        held = ""


def _said() -> Iterator[str]:
    """Yields the texts of failures that wait for a person, by the function that makes them."""
    for package in (shared, services):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    names = {each.__name__ for each in _kinds(Refused)}
    for file in (file for root in ("shared", "services") for file in sorted(Path(root).rglob("*.py"))):
        for function in ast.walk(ast.parse(file.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for call in ast.walk(function):
                    if isinstance(call, ast.Call) and _name(call.func) in names:
                        yield from _parts(call.args, _assigned(function))


def _kinds(kind: type[Refused]) -> Iterator[type[Refused]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _kinds(each)


def _name(called: ast.expr) -> str:
    return called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""


def _assigned(function: ast.AST) -> dict[str, list[ast.expr]]:
    """Returns the values of local names."""
    found: dict[str, list[ast.expr]] = {}
    for each in ast.walk(function):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            found.setdefault(each.targets[0].id, []).append(each.value)
    return found


def _parts(arguments: list[ast.expr], assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    """Yields the parts of these texts, and of the texts within them."""
    todo, seen = [*arguments], set[str]()
    while todo:
        for each in ast.walk(todo.pop()):
            text = isinstance(each, ast.FormattedValue) and each.format_spec is None  # else it is a number
            inner = each.value if isinstance(each, ast.FormattedValue) else each
            values = assigned.get(inner.id, []) if isinstance(inner, ast.Name) else []
            composed = any(isinstance(part, ast.JoinedStr) for value in values for part in ast.walk(value))
            if isinstance(inner, ast.Name) and values and (composed or not text):
                todo += [] if inner.id in seen else values
                seen.add(inner.id)
            elif text:
                yield ast.unparse(inner)


# A receipt with other content enters no evidence and no further search.
ERASED = Receipt(UUID(int=1), TaskOutcome.ERASED, found=2, changed=2, by_category={"call_record": 2})
REPLY = (
    '{"type": "dsr.task.replied.v1", "command_id": "%s", "task_id": "%s", "operation": "erase", "outcome": "retained",'
    ' "ground": "tax_law", "found": %s, "changed": %s, "remaining": %s, "until": "%s"}'
)
PHONE = IdentityType.PHONE
BEYOND = [
    {"found": -1},
    {"found": 10**9 + 1},
    {"changed": 2**64},
    {"remaining": 1.5},
    {"found": True},
    {"by_category": {"call": 2**64}},
    {"by_category": {"ada@example.com": 2}},
    {"by_category": {"../../x": 2}},
    {"by_category": {"a\0": 2}},
    {"by_category": {"c" * 65: 2}},
    {"by_category": {"": 2}},
    {"by_category": {"Ada Lovelace": 2}},
    {"ground": "because Ada said so"},
    {"reference": "7\0"},
    {"reference": "ada@example.com"},
    {"reference": "9" * 201},
    {"until": date(1899, 12, 31)},
    {"until": date.max},
    {"identities": (Identity(IdentityType.EMAIL, "a\0@example.com"),)},
    {"identities": (Identity(PHONE, ""),)},
    {"identities": (Identity(PHONE, "5" * 501),)},
]


@pytest.mark.parametrize("beyond", BEYOND, ids=str)
def test_a_receipt_that_cannot_be_is_refused_and_quotes_nothing(beyond: dict[str, Any]) -> None:
    result = plausible(replace(ERASED, **beyond), "billing:erase")
    assert isinstance(result, AnswerMalformed)
    assert str(result).startswith("billing:erase answers with a")
    assert "Ada" not in str(result)
    assert "@" not in str(result)


def test_up_to_the_bounds_it_is_believed() -> None:
    most = replace(ERASED, found=10**9, changed=10**9, by_category={"c" * 64: 10**9}, until=date(2100, 12, 31))
    for result in (ERASED, most, Refused("no")):
        assert plausible(result, "billing") is result


AGES = [
    (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), None),
    (None, datetime(2100, 12, 31, tzinfo=UTC), None, datetime(2100, 12, 31, tzinfo=UTC)),
    (datetime(1900, 1, 1, tzinfo=UTC), None, datetime(1900, 1, 1, tzinfo=UTC), None),
    (None, None, None, None),
]


@pytest.mark.parametrize(("since", "until", "begins", "ends"), AGES)
def test_a_period_of_another_age_is_one_without_that_end(
    since: datetime | None, until: datetime | None, begins: datetime | None, ends: datetime | None
) -> None:
    located = replace(ERASED, identities=(Identity(PHONE, "+34688886392", since, until),))
    result = plausible(located, "crm")
    assert isinstance(result, Receipt)
    assert [(each.valid_from, each.valid_to) for each in result.identities] == [(begins, ends)]


def reply(found: object = 3, changed: object = 1, remaining: object = 2, until: str = "2030-01-01") -> bytes:
    return (REPLY % (UUID(int=2), UUID(int=1), found, changed, remaining, until)).encode()


@pytest.mark.parametrize(
    ("beyond", "field"),
    [
        (reply(found=2**64), "found"),
        (reply(found=10**9 + 1), "found"),
        (reply(changed="1e400"), "changed"),
        (reply(remaining=10**400), "remaining"),
        (reply(until="9999-12-31"), "until"),
        (reply(until="2101-01-01"), "until"),
        (reply(until="1899-12-31"), "until"),
    ],
)
def test_a_reply_with_a_count_or_a_day_beyond_all_is_no_reply(beyond: bytes, field: str) -> None:
    with pytest.raises(MalformedReply, match=field):
        parse_reply(beyond)


def test_a_reply_up_to_the_bounds_is_one() -> None:
    assert parse_reply(reply(10**9, 10**9 - 1, 1, "2100-12-31")).until == date(2100, 12, 31)


# Figures that are put together from counts: the burn-down, means in business days, and how they are drawn.

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
def shown_figures(family: Metric) -> dict[str, float]:
    return {f"{sample.name}{sorted(sample.labels.items())}": sample.value for sample in rounded(family).samples}


def family(registry: CollectorRegistry) -> Metric:
    return next(iter(registry.collect()))


@pytest.mark.parametrize(("people", "shown"), [(0, 0), (1, None), (4, None), (5, 5), (9, 5), (10, 10), (1003, 1000)])
def test_count_is_shown_in_fives_and_not_below(people: int, shown: int | None) -> None:
    registry = CollectorRegistry()
    Gauge("open", "words", registry=registry).set(people)
    assert shown_figures(family(registry)) == ({} if shown is None else {"open[]": shown})


def test_a_counter_tells_neither_its_last_few_nor_when_it_began() -> None:
    registry = CollectorRegistry()
    counter = Counter("asked", "words", ["right"], registry=registry)
    counter.labels("access").inc(7)
    counter.labels("objection").inc(4)
    assert shown_figures(family(registry)) == {"asked_total[('right', 'access')]": 5}


def test_histogram_of_fewer_than_five_is_hidden_and_sums_always() -> None:
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
    assert shown_figures(family(registry)) == buckets


@given(st.integers(0, 200))
def test_percentiles_need_five_cases(cases: int) -> None:
    summary = Metric("days", "words", "summary")
    summary.add_sample("days", {"right": "access", "quantile": "0.5"}, 12.25)
    summary.add_sample("days_count", {"right": "access"}, cases)
    figures = shown_figures(summary)
    if 0 < cases < 5:
        assert figures == {}
    else:
        assert figures["days[('quantile', '0.5'), ('right', 'access')]"] == 12.25
        assert figures["days_count[('right', 'access')]"] == cases // 5 * 5


def test_mean_needs_five_cases() -> None:
    metric = Metric("days", "words", "gauge")
    for right, cases, mean in (("access", 7, 6.2), ("objection", 4, 1.5)):
        metric.add_sample("days", {"right": right}, mean)
        metric.add_sample("days_count", {"right": right}, cases)
    assert shown_figures(metric) == {"days[('right', 'access')]": 6.2, "days_count[('right', 'access')]": 5}
