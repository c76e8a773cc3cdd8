"""What is kept is told by category, with its days and its ground; what a hold keeps, as it was left."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.api.views import view
from services.intake.letters.rendering import Letters, Reader
from services.intake.request import closing
from services.intake.request.aggregate import Request
from services.intake.request.closing import later_letter
from services.intake.request.kept_by_now import kept_by_now
from services.intake.request.lifecycle import State
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.policy import Period, Policy, parse_period, release
from shared.domain.policy.rules import Ground
from shared.domain.rights import Outcome
from shared.domain.sentences import Lines, Listed, Term, say
from shared.domain.wording import LANGUAGES, Language
from shared.downstreams.sql.catalog import Relation
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.declaration.tenancy import Tenancy
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.statements import Statements
from tests.fixtures.policy import signed_policy
from tests.fixtures.requests import AT, a_request
from tests.fixtures.words import LETTERS, answer, written


def a_task(system: str, outcome: TaskOutcome | None, **said: object) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(known | said)


ERASED = a_task("crm", TaskOutcome.ERASED, found=3, changed=3, by_category={"party": 1, "contact_mechanism": 2})


NECESSARY = (
    "necessary for the purpose for which it is kept, so the ground for erasure of Article 17(1)(a) GDPR is not met"
)


def kept(category: str, rule: str, first: date | None, last: date | None, count: int = 102) -> Kept:
    return Kept(category=category, rule=rule, count=count, first=first, last=last)


@pytest.mark.parametrize(
    ("by_rule", "said", "article"),
    [
        (
            kept("call", "calls_us_18m", date(2026, 4, 2), date(2027, 9, 5)),
            "each is erased as soon as its own time is over, the first after 2 April 2026, the last after",
            NECESSARY,
        ),
        (
            kept("invoice", "invoices_84m", date(2030, 1, 31), date(2030, 1, 31), count=1),
            "1 record (invoices) is kept until 31 January 2030 because contracts and invoices are needed",
            NECESSARY,
        ),
        (
            kept("call", "legal_hold", None, None),
            "once that no longer applies, they are erased, unless another rule keeps them for longer: then we write",
            "legal claims (Article 17(3)(e) GDPR).",
        ),
    ],
)
def test_what_is_kept_is_told_by_category_with_its_days_its_ground_and_the_article_and_no_foreign_law_as_an_obligation(
    by_rule: Kept, said: str, article: str
) -> None:
    retained = a_task("cdr", TaskOutcome.RETAINED, found=222, changed=120, ground=by_rule.rule, kept=(by_rule,))
    closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(ERASED, retained))
    ((kind, fields),) = closing.closing_letter(closed)
    body = " ".join(written(kind, {**fields, "remains": LETTERS.remains(closed, AT)}).body.split())
    assert said in body
    assert article in body
    assert "obligation" not in body
    assert "Copies in our backups are overwritten by 9 April 2026" in body
    assert "unreadable" not in body  # what is kept is still found by the subject's key


def test_what_a_period_keeps_is_told_to_be_reduced_and_what_a_hold_keeps_is_not() -> None:
    by_period = kept("call", "calls_us_18m", date(2026, 4, 2), date(2027, 9, 5)).model_copy(update={"period": "P18M"})
    for told, reduced in ((by_period, True), (kept("call", "legal_hold", None, None), False)):
        retained = a_task("cdr", TaskOutcome.RETAINED, found=222, changed=120, ground=told.rule, kept=(told,))
        said = answer(a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(retained,)))
        assert ("we have removed whatever the reason for keeping it does not need" in said) is reduced


def test_what_was_emptied_of_rows_that_all_stay_is_in_backups_as_well() -> None:
    by_period = kept("invoice", "invoices_84m", date(2030, 1, 31), date(2030, 1, 31)).model_copy(
        update={"period": "P84M"}
    )
    whole = kept("contact", "legal_hold", None, None)
    for told, reduced, remains in (
        (by_period, {"invoice": 5}, True),
        (by_period, {"invoice": 0}, False),
        (whole, {}, False),
    ):
        retained = a_task("shop", TaskOutcome.RETAINED, found=5, changed=0, ground=told.rule, kept=(told,))
        task = retained.model_copy(update={"reduced": reduced})
        closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(task,))
        said = LETTERS.words(LETTERS.remains(closed, AT), Reader("en", "UTC", None))
        assert ("Copies in our backups are overwritten by 9 April 2026" in said) is remains


DUTY = {
    "en": "obliges|has to|had to|must",
    "de": "verpflichte|aufzubewahren",
    "fr": "oblige|doi[st]|devait",
    "es": "obliga|deb",
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ground", get_args(Ground))
def test_only_what_the_law_of_the_union_or_of_a_member_state_requires_is_told_as_a_duty(
    ground: Ground, language: Language
) -> None:
    rule = signed_policy().rules["calls_us_18m"].model_copy(update={"ground": ground, "jurisdiction": "DE"})
    letters = Letters(policy=signed_policy().model_copy(update={"rules": {"calls_us_18m": rule}}))
    retained = a_task("cdr", TaskOutcome.RETAINED, kept=(kept("call", "calls_us_18m", None, None),))
    released = a_task("cdr", TaskOutcome.ERASED, ground="calls_us_18m", until=date(2026, 4, 2))
    reader = Reader(language, "Europe/Berlin", "DE")
    closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(retained,))
    ((kind, fields),) = closing.closing_letter(closed)
    said = {**fields, "received_on": AT, "reference": "019c0000"}
    laws = fields["laws"]
    assert isinstance(laws, Listed)
    missing = letters.words(say("partial.why_kept", laws=laws), reader)
    assert missing in letters.write(kind, reader, said, AT).body
    duty = re.compile(DUTY[language])
    assert bool(duty.search(missing)) is (ground == "17(3)(b)")
    [(_, fields)] = later_letter(replace(closed, tasks=(released,)))
    told = fields["answer"]
    assert not isinstance(told, Lines)
    assert not duty.search(letters.words(told, reader))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_kept_since_nobody_can_tell_its_country_is_told_by_no_law(language: Language) -> None:
    calls, duty = signed_policy().rules["calls_us_18m"], {"ground": "17(3)(b)", "jurisdiction": "DE"}
    rule = calls.model_copy(update={**duty, "words": "the law of Germany has us keep calls"})
    letters = Letters(policy=signed_policy().model_copy(update={"rules": {"calls_us_18m": rule}}))
    calls_kept = kept("call", "calls_us_18m", None, None)
    whole = []
    for shown in (True, False):
        said_of = calls_kept.model_copy(update={"shown": shown})
        here = a_task("cdr", TaskOutcome.RETAINED, found=222, ground=said_of.ground, kept=(said_of,))
        closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(here,))
        ((kind, fields),) = closing.closing_letter(closed)
        said = {**fields, "received_on": AT, "reference": "019c0000"}
        whole.append(letters.write(kind, Reader(language, "Europe/Berlin", "DE"), said, AT).body)
    by_law, by_none = whole
    told = (rule.words, letters.words(Term("law", "calls_us_18m"), Reader(language, "Europe/Berlin", "DE")))
    assert [text in by_law for text in told] == [True, True]
    assert not any(text in by_none for text in told), "no country's law, and no duty"
    assert letters.words(Term("ground", "country_unknown"), Reader(language, "Europe/Berlin", "DE")) in by_none


def test_of_a_system_that_a_hold_kept_from_being_asked_nothing_is_claimed_to_be_there() -> None:
    unseen, seen = (a_task(system, TaskOutcome.RETAINED, ground="legal_hold") for system in ("cdr", "crm"))
    seen = seen.model_copy(update={"found": 3, "remaining": 3})
    closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(unseen, seen))
    ((kind, fields),) = closing.closing_letter(closed)
    body = written(kind, fields).body
    assert "Whatever cdr may hold about you is kept because" in body
    assert "Kept in crm because" in body
    assert "- cdr: left as it is for the reason named above; nobody has looked" in body
    assert "0 of 0" not in body


def test_what_a_hold_keeps_is_told_as_restricted_as_far_as_the_store_shows_it() -> None:
    for shown, said in ((2, "2 of 2 records that crm keeps for that reason are restricted until then"), (0, None)):
        each = kept("ticket", "legal_hold", None, None, count=2).model_copy(update={"restricted": shown})
        held = a_task("crm", TaskOutcome.RETAINED, found=2, remaining=2, ground="legal_hold", kept=(each,))
        closed = a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(held,))
        ((kind, fields),) = closing.closing_letter(closed)
        body = " ".join(written(kind, fields).body.split())
        assert said in body if said else "restricted" not in body
        assert "nobody has looked" not in body
        assert "crm: 0 of 2 records" in body


# What is told of rows that two rules keep: each counts its period from the local day in its own zone.
_NEW_YEAR_IN_BERLIN = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)


def test_each_of_two_rules_counts_from_the_local_day_in_its_own_zone() -> None:
    table = Dataset.load("kamailio").tables["acc_cdrs"]
    types = dict.fromkeys(table.columns, "text") | {"start_time": "timestamp with time zone"}
    plain = Statements("public", "acc_cdrs", table, Relation(types, frozenset()), Tenancy({None: ("ours",)}))
    rule, today = signed_policy().rules["calls_us_18m"], date(2026, 1, 10)
    longer = Ruled(plain, "in_berlin", rule, parse_period("P18M"), "Europe/Berlin", today)
    shorter = Ruled(plain, "in_new_york", rule, parse_period("P6M"), "America/New_York", today)
    told = replace(shorter, longer=(longer,)).kept(Rows(1, _NEW_YEAR_IN_BERLIN, _NEW_YEAR_IN_BERLIN))
    assert (told.rule, told.first, told.last) == ("in_berlin", date(2027, 7, 1), date(2027, 7, 1))
    assert (told.anchor, told.reduced) == (date(2025, 12, 31), date(2026, 6, 30))
    alone = longer.kept(Rows(1, _NEW_YEAR_IN_BERLIN, _NEW_YEAR_IN_BERLIN))
    assert (alone.first, alone.anchor, alone.reduced) == (date(2027, 7, 1), date(2026, 1, 1), None)


# Who looks a request up is told the days on which what is kept goes by now; never a later one than their letter.
def by(period: Period, *, signed: bool = True) -> Policy:
    rule = signed_policy().rules["calls_us_18m"].model_copy(update={"period": period})
    rule = rule if signed else rule.model_copy(update={"sign_off": None})
    return signed_policy().model_copy(update={"rules": {**signed_policy().rules, "calls_us_18m": rule}})


def keeping(*anchors: date, told: Period) -> Request:
    """Calls of these days are kept, as a letter has told it by a rule of that period."""
    ends = [release(told, each, "UTC").last_day for each in anchors]
    days = {"first": min(ends), "last": max(ends), "anchor": min(anchors), "period": str(told)}
    kept = Kept.model_validate({"category": "call", "rule": "calls_us_18m", "count": len(anchors), **days})
    known = {"task_id": uuid7(), "system": "cdr", "operation": "erase", "outcome": TaskOutcome.RETAINED}
    counts = {"found": len(anchors), "remaining": len(anchors), "ground": "calls_us_18m"}
    task = TaskReport.model_validate({**known, **counts, "until": max(ends), "kept": [kept]})
    return a_request(State.CLOSED, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(task,))


OLD, NEW = date(2026, 2, 28), date(2026, 8, 31)


@pytest.mark.parametrize(
    ("now", "signed", "said"),
    [
        ("P18M", True, "the first after 28 August 2027, the last after 29 February 2028"),
        ("P12M", True, "the first after 28 February 2027, the last after 31 August 2027"),
        ("P24M", True, "the first after 28 August 2027, the last after 29 February 2028"),
        ("P12M", False, "the first after 28 August 2027, the last after 29 February 2028"),
    ],
)
def test_a_rule_that_became_shorter_shows_its_day_in_the_answer_and_a_longer_one_the_day_that_was_told(
    now: str, said: str, *, signed: bool
) -> None:
    request = keeping(OLD, NEW, told=parse_period("P18M"))
    shown = view(request, AT.date(), Letters(policy=by(parse_period(now), signed=signed)), officer=True)
    assert said in shown.answer


PERIODS = st.builds(Period, months=st.integers(1, 90), days=st.integers(0, 40))
DAYS = st.dates(date(2020, 1, 1), date(2026, 12, 31))


@given(anchors=st.lists(DAYS, min_size=1, max_size=4), told=PERIODS, now=PERIODS)
def test_no_day_is_later_than_was_told_and_none_earlier_than_the_rule_lets_it_go(
    anchors: list[date], told: Period, now: Period
) -> None:
    before = keeping(*anchors, told=told)
    [task], [old] = kept_by_now(before, by(now), AT.date()).tasks or (), before.tasks or ()
    [kept], [was] = task.kept or (), old.kept or ()
    ends = [release(now, each, "UTC").last_day for each in anchors]
    assert was.first is not None
    assert kept.first == min(was.first, *ends)
    assert was.last is not None
    assert kept.last is not None
    assert min(was.last, max(ends)) <= kept.last <= was.last
    assert task.until == kept.last
    moved = (kept.first, kept.last) != (was.first, was.last)
    assert kept.period == str(now if moved else told), "the period is that of the days beside it"


def test_what_stays_for_the_sake_of_others_goes_with_the_last_of_them() -> None:
    request = keeping(OLD, NEW, told=parse_period("P18M"))
    [task] = request.tasks or ()
    [calls] = task.kept or ()
    customer = calls.model_copy(update={"category": "account", "count": 1, "first": calls.last})
    told = a_request(State.CLOSED, tasks=(task.model_copy(update={"kept": (calls, customer)}),))
    [shown] = kept_by_now(told, by(parse_period("P12M")), AT.date()).tasks or ()
    assert [(each.first, each.last) for each in shown.kept or ()] == [
        (date(2027, 2, 28), date(2027, 8, 31)),
        (date(2027, 8, 31), date(2027, 8, 31)),
    ]


def test_what_nobody_knows_a_day_of_and_what_no_rule_of_ours_keeps_stays_as_it_was_told() -> None:
    request = keeping(OLD, told=parse_period("P18M"))
    [task] = request.tasks or ()
    [kept] = task.kept or ()
    for left in (kept.model_copy(update={"first": None, "last": None}), kept.model_copy(update={"rule": "tax_law"})):
        told = a_request(State.CLOSED, tasks=(task.model_copy(update={"kept": (left,)}),))
        assert kept_by_now(told, by(parse_period("P1M")), AT.date()) is told
