"""Time limits of a request: the worked examples, and what must hold for every receipt, zone and calendar."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.deadline.clock import (
    ClockStep,
    RequestClock,
    Timer,
    due_by,
    milestones_of,
    next_of,
    redate,
    start,
    targets_of,
    tickets_for,
)
from services.intake.core.errors import BadRequest
from services.intake.core.instants import Instants
from services.intake.request.reasons import ExtensionFlaw, ProposedExtension, flaws
from shared.domain.errors import Misconfigured
from shared.domain.events import RequestReceived, RequestRedated, TimerKind
from shared.domain.rights import Right
from shared.domain.time_limit import (
    Arrival,
    Deadlines,
    NotCounted,
    Suspension,
    Target,
    Timeliness,
    add_months,
    arrival_date,
    commit_due,
    due_at,
    due_on,
    end_of,
    limits,
    not_counted,
    paused_days,
    resumed_due,
    silence,
    target,
    timeliness,
)
from shared.domain.time_limit_policy import TIME_LIMITS, Question, TargetName, read_policy
from shared.domain.working_days import calendar
from shared.runtime.settings import PolicySettings
from tests.fixtures.events import a

VECTORS = Path(__file__).parents[1] / "fixtures" / "deadline-vectors.json"
EXAMPLES_CALL = {
    "receipt_date": "arrival_date",
    "d30": "end_of_days",
    "month1": "end_of_month",
    "month3": "end_of_three_months",
}
"""Our names of limits, by the examples' names."""
POLICY = read_policy()
BERLIN_AND_NEW_YORK = ("Europe/Berlin", "America/New_York")
EEA_UK_US = set(POLICY.capital_zones) | {"GP", "MQ", "GF", "RE", "YT", "MF", "PR", "VI", "GU", "AS", "MP"}
FIRST_DAY = date(2025, 1, 1)
DAYS = [FIRST_DAY + timedelta(days=n) for n in range((date(2036, 1, 1) - FIRST_DAY).days)]
DAYS_AROUND_CHANGES_OF_TIME = [day for day in DAYS if day.weekday() >= 5]  # clocks change on Sundays
ONE_DAY, TICK = timedelta(days=1), timedelta(microseconds=1)


def zones_of_the_eea_uk_and_us() -> list[str]:
    lines = files("tzdata").joinpath("zoneinfo/zone.tab").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return sorted(row[2] for row in rows if row[0] in EEA_UK_US)


ZONES = zones_of_the_eea_uk_and_us()
some_zones = st.lists(st.sampled_from(ZONES), min_size=1, max_size=3).map(tuple)
some_instant = st.datetimes(datetime(2025, 1, 1), datetime(2035, 12, 31, 23, 59, 59), timezones=st.just(UTC))  # noqa: DTZ001
some_calendar = st.sampled_from(["DE-BE", "DE", "GB-ENG", "IE", "FR", "NL", "US", "ECB", "GR", "HU", "nowhere", None])


UNKNOWN = [None, "XX", "DE-XX", "DE-", "-BE", "de", "EU-ECB", "US-US"]


def arrived(text: str, zones: tuple[str, ...] = BERLIN_AND_NEW_YORK, calendar: str | None = "DE-BE") -> Arrival:
    return Arrival(datetime.fromisoformat(text), zones, calendar)


@pytest.mark.parametrize(
    "vector", json.loads(VECTORS.read_text()), ids=lambda vector: f"{vector['id']} {vector['note']}"
)
def test_every_worked_example_comes_out_as_the_domain_says(vector: dict[str, Any]) -> None:
    received = datetime.fromisoformat(vector["received_utc"])
    assert datetime.fromisoformat(vector["received"]) == received
    found = limits(Arrival(received, tuple(vector["zones"]), vector["calendar"], vector["paused_days"]), POLICY)
    for name, expected in vector["expected"].items():
        computed = getattr(found, EXAMPLES_CALL.get(name, name.removesuffix("_utc")))
        assert computed == type(computed).fromisoformat(expected), name


def test_every_arrival_date_of_eleven_years_gets_the_earlier_of_thirty_days_and_one_month_and_dates_in_order() -> None:
    for number, day in enumerate(DAYS):
        month = add_months(day, 1)
        last_of_next = (day.replace(day=1) + timedelta(days=62)).replace(day=1) - ONE_DAY
        assert (month.year * 12 + month.month) - (day.year * 12 + day.month) == 1
        assert month.day == day.day or month == last_of_next < last_of_next.replace(day=1) + timedelta(days=day.day - 1)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        assert commit_due(noon, ("Europe/Berlin",), POLICY) == min(day + timedelta(days=30), month)
        assert_order(limits(Arrival(noon, (ZONES[number % len(ZONES)], "America/New_York"), "DE-BE"), POLICY))


@pytest.mark.parametrize("zone", ZONES)
def test_every_weekend_of_eleven_years_counts_from_the_local_day_in_every_zone(zone: str) -> None:
    info = ZoneInfo(zone)
    for day in DAYS_AROUND_CHANGES_OF_TIME:
        start = datetime(day.year, day.month, day.day, tzinfo=info).astimezone(UTC)
        due = min(day + timedelta(days=30), add_months(day, 1))
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=info)
        for at in (start if start.astimezone(info).date() == day else start + timedelta(hours=1), noon):
            assert arrival_date(at, (zone,)) == day
            assert commit_due(at, (zone,), POLICY) == due
        assert end_of(due, (zone,)).astimezone(info).date() > due


@settings(max_examples=400, deadline=None)
@given(at=some_instant, zones=some_zones, calendar=some_calendar, paused=st.integers(0, 60))
@example(datetime(2026, 3, 1, 22, 30, tzinfo=UTC), BERLIN_AND_NEW_YORK, "DE-BE", 0)
@example(datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ("Europe/Berlin",), "DE-BE", 0)
def test_both_clocks_keep_order(at: datetime, zones: tuple[str, ...], calendar: str | None, paused: int) -> None:
    found = limits(Arrival(at, zones, calendar, paused), POLICY)
    assert_order(found)
    assert found.commit_due == commit_due(at, zones, POLICY)
    unpaused = limits(Arrival(at, zones, calendar), POLICY)
    assert (found.commit_due, found.work_by) == (unpaused.commit_due, unpaused.work_by)
    assert found.statutory_due >= unpaused.end_of_month + timedelta(days=paused)


def assert_order(found: Deadlines) -> None:
    assert found.arrival_date < found.work_by <= found.commit_due <= found.statutory_due
    assert found.commit_due < found.commit_due_extended <= found.statutory_due_extended


@settings(max_examples=400, deadline=None)
@given(at=some_instant, zones=some_zones)
def test_the_day_of_receipt_is_the_earliest_that_any_zone_sees(at: datetime, zones: tuple[str, ...]) -> None:
    seen = {at.astimezone(ZoneInfo(zone)).date() for zone in zones}
    assert arrival_date(at, zones) == min(seen)
    assert arrival_date(at.astimezone(ZoneInfo("Pacific/Honolulu")), zones) == min(seen)


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_ends_at_the_first_instant_of_the_next_in_each_zone(zone: str) -> None:
    info = ZoneInfo(zone)
    for day in DAYS_AROUND_CHANGES_OF_TIME:
        end = end_of(day, (zone,))
        assert (end - TICK).astimezone(info).date() <= day < end.astimezone(info).date()


def test_a_day_is_over_when_it_is_over_in_the_easternmost_zone() -> None:
    assert end_of(date(2028, 2, 28), ("UTC",)) == datetime(2028, 2, 29, tzinfo=UTC)
    day = date(2026, 4, 4)
    assert end_of(day, BERLIN_AND_NEW_YORK) == end_of(day, ("Europe/Berlin",)) < end_of(day, ("America/New_York",))


@settings(max_examples=300, deadline=None)
@given(name=st.text(max_size=12) | st.sampled_from(UNKNOWN))
def test_an_unknown_calendar_rolls_nothing_and_raises_nothing(name: str | None) -> None:
    found = limits(arrived("2026-03-05T10:00:00+01:00", calendar=name), POLICY)  # one month on: Easter Sunday
    known = found.statutory_due != found.end_of_month
    assert not known or found.statutory_due in {date(2026, 4, 6), date(2026, 4, 7), date(2026, 4, 8)}
    if name in UNKNOWN:
        assert found.statutory_due == found.end_of_month == date(2026, 4, 5)


def test_an_answer_is_on_time_until_the_commitment_ends_and_a_breach_once_the_statutory_limit_has() -> None:
    found = limits(arrived("2026-03-05T10:00:00+01:00"), POLICY)
    commitment, statutory = found.commit_due_instant, end_of(found.statutory_due, BERLIN_AND_NEW_YORK)
    assert timeliness(commitment - TICK, commitment, statutory) is Timeliness.ON_TIME
    assert timeliness(commitment, commitment, statutory) is Timeliness.LATE_COMMITMENT
    assert timeliness(statutory - TICK, commitment, statutory) is Timeliness.LATE_COMMITMENT
    assert timeliness(statutory, commitment, statutory) is Timeliness.BREACH


def test_an_objection_to_direct_marketing_takes_effect_within_48_elapsed_hours() -> None:
    over_the_change_to_summer_time = arrived("2026-03-28T10:00:00+01:00")
    found = target(POLICY.overrides["direct_marketing_objection"], over_the_change_to_summer_time, POLICY)
    assert found == Target(date(2026, 3, 30), datetime(2026, 3, 30, 9, tzinfo=UTC), "dpo")


def test_a_shorter_limit_of_our_own_holds_for_its_right_and_scope_alone_and_ends_at_an_instant() -> None:
    arrival = arrived("2026-03-05T10:00:00+01:00")
    plain = date(2026, 4, 4), datetime(2026, 4, 4, 22, tzinfo=UTC)
    for right, scope, expected in (
        (Right.OBJECTION, "direct_marketing", (date(2026, 3, 7), datetime(2026, 3, 7, 9, tzinfo=UTC))),
        (Right.OBJECTION, "legitimate_interests", plain),
        (Right.ACCESS, "direct_marketing", plain),
        (Right.CONSENT_WITHDRAWAL, None, (date(2026, 3, 7), datetime(2026, 3, 7, 9, tzinfo=UTC))),
        *((right, None, plain) for right in Right if right is not Right.CONSENT_WITHDRAWAL),
    ):
        day = due_on(arrival, right, scope, POLICY)
        assert (day, due_at(day, arrival, right, scope, POLICY)) == expected


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("scope", [None, "direct_marketing"])
def test_processor_request_is_forwarded_within_two_working_days(right: Right, scope: str | None) -> None:
    arrival = arrived("2026-04-02T10:00:00+02:00")  # Good Friday to Easter Monday do not count
    day, end = date(2026, 4, 8), datetime(2026, 4, 8, 22, tzinfo=UTC)
    assert target(POLICY.overrides["processor_forwarding"], arrival, POLICY) == Target(day, end, "team_lead")
    assert due_on(arrival, right, scope, POLICY, "processor") == day
    assert due_at(day, arrival, right, scope, POLICY, "processor") == end


def test_targets_of_the_staff_count_days_from_receipt_or_back_from_the_end() -> None:
    arrival = arrived("2026-03-05T10:00:00+01:00")
    found = {name: target(span, arrival, POLICY) for name, span in POLICY.targets.items()}
    assert found[TargetName.COLLECTION].day == date(2026, 3, 15)
    assert found[TargetName.EXTEND_OR_ANSWER].day == date(2026, 3, 28)


def test_the_version_of_rules_policy_and_calendar_is_kept_with_the_dates() -> None:
    version = limits(arrived("2026-03-05T10:00:00+01:00"), POLICY).calc_version
    assert version.startswith(f"rules-1/policy-{POLICY.version}/holidays-")


@pytest.mark.parametrize(
    ("at", "zones"),
    [
        (datetime(2026, 3, 5, 10), BERLIN_AND_NEW_YORK),  # noqa: DTZ001
        (datetime(2026, 3, 5, 10, tzinfo=UTC), ()),
        (datetime(2026, 3, 5, 10, tzinfo=UTC), ("Europe/Nowhere",)),
    ],
)
def test_a_receipt_without_offset_or_known_zone_is_refused(at: datetime, zones: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="receipt"):
        arrival_date(at, zones)


def test_the_country_of_the_subject_gives_zones_and_calendar() -> None:
    assert POLICY.zones_of("gb") == ("America/Denver", "Europe/London")
    assert POLICY.zones_of("US") == ("America/Denver", "America/New_York")
    assert POLICY.zones_of(None) == POLICY.zones_of("ZZ") == ("America/Denver", "Europe/Berlin")
    assert (POLICY.calendar_of("GB"), POLICY.calendar_of("FR"), POLICY.calendar_of(None)) == ("GB-ENG", "FR", "DE")


# The policy about time is data: complete as shipped, and refused with a reason when it cannot be used.
SHIPPED = TIME_LIMITS.read_text()


def test_every_country_of_the_shipped_policy_has_a_zone_and_a_calendar() -> None:
    policy = read_policy()
    for country, zone in policy.capital_zones.items():
        assert ZoneInfo(zone).key == zone
        assert calendar(policy.calendar_of(country)).known, country
    assert calendar(policy.commitment.staff_calendar).known


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("days = 30  ", "days = 0  ", "commitment.days"),
        ("approaching_days = [7, 3, 1]", "approaching_days = [1, 3, 7]", "from far to near"),
        ('default_country = "DE"', 'default_country = "ZZ"', "default_country"),
        ("reminder_days", "reminders", "reminder_days"),
        ("triage = {", "triaged = {", "targets.triaged"),
        ("triage = {", "acknowledgement = {", "targets.acknowledgement"),
        ("flag_after_minutes = 15", "flag_after_minutes = -1", "flag_after_minutes"),
        ("days_before_due = 7", "days_before_due = 6", "extend_or_answer needs a days_before_due"),
        ('daily_page_to = ["dpo", "executive"]', "daily_page_to = []", "daily_page_to"),
        ("hours = 48,", "hours = 48, days = 2,", "give exactly one of hours"),
        ("version =", "version", "version"),
        ('role = "processor"', 'role = "reseller"', "processor_forwarding.role"),
    ],
)
def test_a_policy_that_cannot_be_used_says_what_to_change(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "time_limits.toml"
    assert old in SHIPPED
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(Misconfigured, match=says if says != "version" else path.name):
        read_policy(path)


def test_a_policy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"none\.toml"):
        read_policy(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("variables", "read"),
    [
        ({}, TIME_LIMITS),
        ({"DSR_DEADLINE_POLICY": "old.toml"}, Path("old.toml")),
        ({"DSR_POLICY_TIME_LIMITS": "new.toml"}, Path("new.toml")),
        ({"DSR_DEADLINE_POLICY": "old.toml", "DSR_POLICY_TIME_LIMITS": "new.toml"}, Path("new.toml")),
    ],
)
def test_one_variable_names_the_policy_of_every_service_and_its_old_name_is_still_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], read: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables.values():
        (tmp_path / name).touch()
    for name in ("DSR_DEADLINE_POLICY", "DSR_POLICY_TIME_LIMITS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert PolicySettings().time_limits == read


# An extension is valid only in time, with an allowed reason and an explanation.
LIMITS = limits(Arrival(datetime(2026, 3, 5, 9, tzinfo=UTC), ("Europe/Berlin", "America/New_York"), "DE-BE"), POLICY)
VALID = ProposedExtension(
    notice_sent_at=LIMITS.commit_due_instant - timedelta(seconds=1),
    reason="VOLUME",
    explanation="Eleven years of calls must be read and redacted.",
    new_due=LIMITS.commit_due_extended,
)


def test_extension_notified_on_the_last_day_is_valid_once() -> None:
    assert flaws(VALID, LIMITS, POLICY, already_extended=False) == ()
    assert flaws(VALID, LIMITS, POLICY, already_extended=True) == (ExtensionFlaw.ALREADY_EXTENDED,)


@pytest.mark.parametrize(
    ("extension", "flaw"),
    [
        (replace(VALID, notice_sent_at=LIMITS.commit_due_instant), ExtensionFlaw.NOTICE_TOO_LATE),
        (replace(VALID, new_due=LIMITS.commit_due_extended + timedelta(days=1)), ExtensionFlaw.DATE_TOO_LATE),
        (replace(VALID, new_due=date(2026, 4, 4)), ExtensionFlaw.DATE_NOT_LATER),
        (replace(VALID, explanation=" "), ExtensionFlaw.NO_EXPLANATION),
        *(
            (replace(VALID, reason=reason), ExtensionFlaw.REASON_NOT_ALLOWED)
            for reason in ("WORKLOAD", "STAFF_ABSENCE", "COMPANY_SIZE", "SYSTEM_DOWN", "")
        ),
    ],
)
def test_one_flaw_is_named_and_the_original_dates_stay(extension: ProposedExtension, flaw: ExtensionFlaw) -> None:
    assert flaws(extension, LIMITS, POLICY, already_extended=False) == (flaw,)


def test_right_with_immediate_effect_is_never_extended() -> None:
    judged = partial(flaws, VALID, LIMITS, POLICY, already_extended=False)
    assert judged(of_marketing=True) == (ExtensionFlaw.DIRECT_MARKETING,)
    assert judged(of_consent=True) == (ExtensionFlaw.CONSENT_WITHDRAWAL,)


def test_all_flaws_are_reported_together() -> None:
    wrong = replace(VALID, reason="WORKLOAD", explanation=" ")
    both = (ExtensionFlaw.REASON_NOT_ALLOWED, ExtensionFlaw.NO_EXPLANATION)
    assert flaws(wrong, LIMITS, POLICY, already_extended=False) == both


# When a question stops the statutory clock, for how long, and what happens without an answer.
ARRIVAL = Arrival(datetime(2026, 3, 5, 9, tzinfo=UTC), ("Europe/Berlin", "America/New_York"), "DE-BE")  # a Thursday
DUE = limits(ARRIVAL, POLICY).commit_due


def at(day: int) -> datetime:
    return datetime(2026, 3, day, 12, tzinfo=UTC)


def asked(
    day: int, answered: int | None = None, question: Question = Question.IDENTITY, *, recorded: bool = True
) -> Suspension:
    return Suspension(question, at(day), None if answered is None else at(answered), recorded)


@pytest.mark.parametrize(
    ("suspension", "regime", "reason"),
    [
        (asked(6), "EU", None),
        (asked(10, question=Question.CLARIFICATION), "UK", None),
        (asked(10), "EU", None),  # the third working day, over a weekend
        (asked(11), "EU", NotCounted.ASKED_TOO_LATE),
        (asked(6, recorded=False), "EU", NotCounted.CONDITION_NOT_RECORDED),
        (asked(6), "US", NotCounted.OUT_OF_SCOPE),
    ],
)
def test_timely_question_with_a_reason_counts(suspension: Suspension, regime: str, reason: NotCounted | None) -> None:
    assert not_counted(suspension, ARRIVAL, regime, POLICY) is reason


LATE = replace(asked(6), answered_at=datetime(2026, 3, 9, 3, tzinfo=UTC))  # still the 8th in New York


@pytest.mark.parametrize(
    ("questions", "days"),
    [
        ([], 0),
        ([asked(6, 16)], 10),
        ([asked(6, 6)], 0),
        ([asked(6), asked(6, 16)], 10),  # one that is open has no end yet
        ([asked(6, 16), asked(9, 20, Question.CLARIFICATION)], 14),  # two questions pause a day once
        ([asked(6, 8), asked(10, 12)], 4),
        ([LATE], 2),  # the zone that sees fewer days decides
    ],
)
def test_paused_days_are_whole_local_days_between_question_and_answer(questions: list[Suspension], days: int) -> None:
    assert paused_days(questions, ARRIVAL.zones) == days


@pytest.mark.parametrize(
    ("asked_at", "due_on", "reminders", "last_notice"),
    [
        (at(6), DUE, [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 4, 1)),  # due on Saturday after Good Friday
        (at(6), date(2026, 6, 4), [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 6, 2)),  # extended
        (at(6), date(2026, 3, 7), [date(2026, 3, 13), date(2026, 3, 20)], date(2026, 4, 1)),  # a shorter limit
        (at(26), DUE, [], date(2026, 4, 1)),  # no reminder comes after it
        (at(31), DUE, [], date(2026, 4, 1)),
        (datetime(2026, 4, 1, 12, tzinfo=UTC), DUE, [], date(2026, 4, 8)),  # no question is closed within a day
        (datetime(2026, 5, 1, 12, tzinfo=UTC), DUE, [], date(2026, 5, 8)),
    ],
)
def test_silence_is_reminded_and_ends_with_a_notice_two_working_days_before_the_commitment(
    asked_at: datetime, due_on: date, reminders: list[date], last_notice: date
) -> None:
    assert silence(asked_at, ARRIVAL, due_on, POLICY) == (reminders, last_notice)


@pytest.mark.parametrize(
    ("asked_at", "answered_at", "resumed"),
    [
        (at(6), at(31), date(2026, 4, 29)),
        # never more than a fresh commitment: one month, although thirty days were left
        (ARRIVAL.received_at, datetime(2027, 2, 1, 12, tzinfo=UTC), date(2027, 3, 1)),
        # where no time was left, the day on which the reply comes
        (datetime(2026, 4, 20, 12, tzinfo=UTC), datetime(2026, 6, 1, 12, tzinfo=UTC), date(2026, 6, 1)),
    ],
)
def test_late_answer_gets_the_remaining_time(asked_at: datetime, answered_at: datetime, resumed: date) -> None:
    assert resumed_due(asked_at, answered_at, ARRIVAL.zones, DUE, POLICY) == resumed


# What is believed of a stated time: a channel's clock may be wrong by a little, and nothing is years old.
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
INSTANTS = Instants(timedelta(minutes=5), timedelta(days=731))
YEAR_ONE = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
LAST = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(-timedelta(hours=14)))


def test_what_arrived_within_two_years_is_believed_and_so_is_a_clock_that_is_a_little_fast() -> None:
    assert INSTANTS.arrived(None, NOW) == NOW
    for stated in (NOW, NOW + timedelta(minutes=5), NOW - timedelta(days=731)):
        assert INSTANTS.arrived(stated, NOW) == stated


@pytest.mark.parametrize(
    "stated", [NOW + timedelta(minutes=5, seconds=1), NOW - timedelta(days=731, seconds=1), YEAR_ONE, LAST]
)
def test_what_lies_in_the_future_or_years_ago_is_refused_by_its_field(stated: datetime) -> None:
    for refused in (
        partial(INSTANTS.arrived, stated, NOW),
        partial(INSTANTS.replied, stated, None, NOW),
        partial(INSTANTS.replied, stated, NOW, NOW),
        partial(INSTANTS.entered, stated, NOW, NOW),
    ):
        with pytest.raises(BadRequest) as refusal:
            refused()
        assert refusal.value.field == "received_at"


def test_an_answer_never_comes_before_its_question() -> None:
    asked_at = NOW - timedelta(days=3)
    assert INSTANTS.replied(asked_at + timedelta(hours=1), asked_at, NOW) == asked_at + timedelta(hours=1)
    assert INSTANTS.replied(asked_at - timedelta(minutes=5), asked_at, NOW) == asked_at
    with pytest.raises(BadRequest, match="before the question"):
        INSTANTS.replied(asked_at - timedelta(minutes=6), asked_at, NOW)


def test_a_proof_to_come_is_refused_by_its_place() -> None:
    assert INSTANTS.happened(None, NOW, "proofs.1.proved_at") == NOW
    with pytest.raises(BadRequest) as refusal:
        INSTANTS.happened(NOW + timedelta(days=1), NOW, "proofs.1.proved_at")
    assert refusal.value.field == "proofs.1.proved_at"


# What is to be said of a request and when: milestones, once each and in order, and the staff's targets.
RECEIVED = datetime(2026, 3, 5, 9, tzinfo=UTC)  # a Thursday
ZONES_CLOCK = ("Europe/Berlin", "America/New_York")
TICK_CLOCK = timedelta(microseconds=1)


def clock_of(received_at: datetime) -> RequestClock:
    arrival = Arrival(received_at, ZONES_CLOCK, "DE-BE")
    event = a(RequestReceived, received_at=received_at, occurred_at=received_at, zones=ZONES_CLOCK, calendar="DE-BE")
    day = due_on(arrival, event.right, None, POLICY)
    event = event.model_copy(update={"due_on": day})
    return start(event, event, POLICY, None)


CLOCK = clock_of(RECEIVED)
MILESTONES = milestones_of(CLOCK, POLICY)
TARGETS = targets_of(CLOCK, POLICY)


def test_a_request_has_five_milestones_at_the_local_days_before_its_end() -> None:
    assert [(each.name, each.at.isoformat()) for each in MILESTONES] == [
        ("approaching_7", "2026-03-27T23:00:00+00:00"),  # the 28th begins in Berlin, still on winter time
        ("approaching_3", "2026-03-31T22:00:00+00:00"),
        ("approaching_1", "2026-04-02T22:00:00+00:00"),
        ("overdue_commitment", "2026-04-04T22:00:00+00:00"),
        ("overdue_statutory", "2026-04-07T22:00:00+00:00"),
    ]


@given(st.lists(st.floats(0, 60), max_size=30))
def test_each_milestone_is_said_once_whenever_the_service_looks(moments: list[float]) -> None:
    said: list[ClockStep] = []
    for moment in [*moments, 60.0]:  # in any order: the machine's clock may jump back
        said += due_by(MILESTONES, {each.name for each in said}, RECEIVED + timedelta(days=moment))
    assert said == MILESTONES
    assert next_of(MILESTONES, {each.name for each in said}) is None


@pytest.mark.parametrize("dues", [MILESTONES, TARGETS])
def test_a_thing_is_due_at_its_instant_and_not_before(dues: list[ClockStep]) -> None:
    first, second, *_ = dues
    assert due_by(dues, (), first.at - TICK_CLOCK) == []
    assert due_by(dues, (), first.at) == [first]
    assert due_by(dues, (first.name,), first.at + TICK_CLOCK) == []
    assert next_of(dues, ()) == first.at
    assert next_of(dues, (first.name,)) == second.at
    assert next_of(dues, [each.name for each in dues]) is None


def test_a_limit_of_two_days_is_not_approaching_before_it_was_received_and_has_no_target_after_it() -> None:
    due_at = RECEIVED + timedelta(hours=48)
    short = replace(CLOCK, due_on=due_at.date(), due_at=due_at)
    names = [each.name for each in milestones_of(short, POLICY)]
    assert names == ["approaching_1", "overdue_commitment", "overdue_statutory"]
    assert targets_of(short, POLICY) == []


def test_a_commitment_that_ends_with_the_law_is_said_before_it() -> None:
    *_, commitment, statutory = milestones_of(clock_of(datetime(2026, 8, 31, 8, tzinfo=UTC)), POLICY)
    assert (commitment.name, statutory.name) == ("overdue_commitment", "overdue_statutory")
    assert commitment.at == statutory.at


@pytest.mark.parametrize(
    ("extended", "levels"),
    [
        (False, ["extend_or_answer", "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]),
        (True, [None, "approaching_3d", "approaching_1d", "overdue_commitment", "overdue_statutory"]),
    ],
)
def test_officers_are_alerted_to_extend_near_or_late(levels: list[str | None], *, extended: bool) -> None:
    found = milestones_of(replace(CLOCK, promised_on=CLOCK.due_on if extended else None), POLICY)
    assert [each.level for each in found] == levels
    assert [each.escalate_to for each in found] == [() if extended else ("dpo",), *[()] * 4]


def test_people_are_asked_to_extend_or_answer_on_the_one_day_that_the_policy_names() -> None:
    assert POLICY.prompt is not None
    later = POLICY.prompt.model_copy(update={"days_before_due": 3})
    targets = {**POLICY.targets, TargetName.EXTEND_OR_ANSWER: later}
    found = milestones_of(CLOCK, POLICY.model_copy(update={"targets": targets}))
    assert [each.level for each in found][:3] == [None, "extend_or_answer", "approaching_1d"]


@pytest.mark.parametrize("days", [0, 1, 4, 5, 9])
def test_moved_request_reports_each_milestone_once(days: int) -> None:
    day, came = CLOCK.due_on - timedelta(days=days), RECEIVED - timedelta(days=30)
    event = a(RequestRedated, due_on=day, received_at=came, zones=ZONES_CLOCK, calendar="DE-BE")
    reported = Timer(TimerKind.MILESTONE, "", MILESTONES[1].at, (MILESTONES[0].name,))
    moved = redate(replace(CLOCK, timers=(reported,)), event, POLICY)
    milestone = next(each for each in milestones_of(moved, POLICY) if each.name != MILESTONES[0].name)
    (timer,) = moved.timers
    assert timer.due_at == milestone.at
    assert due_by(milestones_of(moved, POLICY), timer.reported, milestone.at)[0] == milestone


def test_the_targets_of_a_request_end_with_their_days_where_the_day_ends_first() -> None:
    assert [(each.name, each.day.isoformat(), each.at.isoformat(), *each.escalate_to) for each in TARGETS] == [
        ("triage", "2026-03-09", "2026-03-09T23:00:00+00:00", "team_lead"),
        ("question_sent", "2026-03-10", "2026-03-10T23:00:00+00:00", "team_lead"),
        ("collection", "2026-03-15", "2026-03-15T23:00:00+00:00", "system_owner"),
        ("review", "2026-03-25", "2026-03-25T23:00:00+00:00", "dpo"),
    ]
    assert [each.due_at for each in CLOCK.timers] == [MILESTONES[0].at, TARGETS[0].at]


def test_of_several_missed_milestones_each_role_gets_the_latest() -> None:
    levels = [each.level for each in tickets_for(CLOCK, TimerKind.TARGET, TARGETS, RECEIVED)]
    assert levels == ["target_question_sent", "target_collection", "target_review"]
    assert tickets_for(CLOCK, TimerKind.TARGET, TARGETS, CLOCK.due_at) == []


def test_a_target_that_the_policy_leaves_out_is_not_watched() -> None:
    without = POLICY.model_copy(update={"targets": {TargetName.REVIEW: POLICY.targets[TargetName.REVIEW]}})
    assert [each.name for each in targets_of(CLOCK, without)] == [TargetName.REVIEW]
