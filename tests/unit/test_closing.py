"""The letter that closes a request follows from its outcome and from what each system reported."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, get_args

import pytest
from uuid_utils.compat import uuid7

from services.intake.api.views import view
from services.intake.core.instants import retention
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request import closing
from services.intake.request.aggregate import Request
from services.intake.request.closing import follow_up_letter, lifting_letter
from services.intake.request.lifecycle import State
from shared.domain.events import FulfilmentCompleted
from shared.domain.languages import LANGUAGES, Language
from shared.domain.notices import Reader
from shared.domain.operations import CountUnknown, Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.policy import parse_period
from shared.domain.policy.rules import Ground
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Lines, Term, article, say
from shared.fulfilment.store import outcome_of
from shared.systems.contract import Receipt, Task
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords
from shared.systems.engine.planning import plan_erasure
from shared.systems.sql.dataset import Dataset, Tenancy
from tests.fixtures.downstream import task
from tests.fixtures.events import a
from tests.fixtures.policy import signed_policy
from tests.fixtures.requests import AT, a_request
from tests.fixtures.shapes import tables_of
from tests.fixtures.words import LETTERS, READER, answer, closing_letter, done, read, standing, written


def a_task(system: str, outcome: TaskOutcome | None, **said: object) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": Operation.ERASE, "outcome": outcome}
    return TaskReport.model_validate(known | said)


def body_of(closed: Request, **said: Any) -> str:
    """The letter that closes it, on one line."""
    ((kind, fields),) = closing.closing_letter(closed)
    return " ".join(written(kind, {**fields, **said}).body.split())


ERASED_ALL, NO_MATCH, RETAINED = TaskOutcome.ERASED, TaskOutcome.NO_MATCH, TaskOutcome.RETAINED
UNSEARCHED, PARTIAL = TaskOutcome.NOT_SEARCHED, Outcome.PARTIALLY_FULFILLED
BROKEN = {"failure": "data_still_present", "found": 5, "changed": 3, "remaining": 2}
ERASED = a_task("crm", ERASED_ALL, found=3, changed=3, by_category={"party": 1, "contact_mechanism": 2})
UNPROVED = "for what it may hold we must be surer that your request comes from you."


def test_a_letter_that_the_transition_writes_itself_is_not_written_twice() -> None:
    assert closing_letter(a_request(State.CLOSED, outcome=Outcome.FORWARDED)) == ()


@pytest.mark.parametrize(
    ("task", "line"),
    [
        (ERASED, "- crm: 3 records erased (contact mechanism: 2, party: 1)."),
        (a_task("cdr", RETAINED, found=9, changed=4), "- cdr: 4 records erased."),
        (a_task("cdr", None, failure="data_still_present"), "- cdr: not erased."),
        (a_task("cdr", None), "- cdr: not erased."),
        (a_task("cdr", None, **BROKEN), "- cdr: 3 records erased; the rest was not finished."),
        (
            a_task("cdr", None, **BROKEN, reported=True),
            "- cdr: 3 records erased; that is what it says of itself, and we have not verified it.",
        ),
        (a_task("cdr", TaskOutcome.NOT_HELD), "- cdr: has nothing that could be erased."),
        (a_task("cdr", ERASED_ALL, found=2, changed=2, by_hand=True), "- cdr: 2 records erased by hand."),
        (
            a_task("cdr", UNSEARCHED, not_searched="nothing_to_search_by"),
            "- cdr: not searched: nothing that we know of you leads there.",
        ),
        (a_task("cdr", UNSEARCHED, not_searched="not_proved", level="L2"), f"- cdr: not searched: {UNPROVED}"),
        (
            a_task("cdr", ERASED_ALL, found=2, changed=2, not_searched="not_proved"),
            f"- cdr: 2 records erased. A part was not searched: {UNPROVED}",
        ),
        (a_task("cdr", NO_MATCH, by_hand=True, not_asked=True), "- cdr: looked through by hand, nothing found."),
        (
            a_task("cdr", ERASED_ALL, count_unknown=CountUnknown.STORE_REPLACED),
            "- cdr: erased; how many records it was cannot be counted.",
        ),
        (a_task("cdr", TaskOutcome.EXPORTED, operation=Operation.EXPORT, found=2), "- cdr: 2 records copied."),
        (a_task("crm", TaskOutcome.LOCATED, operation=Operation.LOCATE), "- in no system was anything done."),
    ],
)
def test_work_of_a_system_is_reported_in_counts(task: TaskReport, line: str) -> None:
    assert done([task]) == line


def test_every_way_to_the_end_writes_one_closing_letter() -> None:
    at_work = a_request(State.IN_PROGRESS, right=Right.ACCESS)
    completed = at_work.complete(a(FulfilmentCompleted), AT)
    withdrawn = replace(at_work, tasks=(ERASED,)).withdraw(AT)
    assert [fields["about"] for _, fields in completed.letters] == ["fulfilled"]
    assert [fields["about"] for _, fields in withdrawn.letters] == ["withdrawn"]
    assert "3 records erased" in read(withdrawn.letters)[0][1]["done"]


def test_the_letter_of_a_lift_says_on_which_day_it_was_decided() -> None:
    restricted = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED)
    lifted = restricted.lift(AT)
    assert lifted.letters == (lifting_letter(restricted, "decided", lifted_on=AT),)
    assert lifted.evidence == (("restriction.lift_decided", {"informed_at": AT.isoformat()}),)


CUSTOMER = (
    a_task("crm", TaskOutcome.AMENDED, operation=Operation.SUPPRESS, found=5, changed=5, by_category={"contact": 5}),
    a_task("billing", None, operation=Operation.SUPPRESS, failure="wrong_person_match"),
)
NO_MATCHES = tuple(a_task(name, TaskOutcome.NO_MATCH, operation=Operation.SUPPRESS) for name in ("crm", "billing"))
MARKETING = {"right": Right.OBJECTION, "scope": "direct_marketing", "anonymous": True}


@pytest.mark.parametrize(
    ("theirs", "nobodys"),
    [
        ((State.CLOSED, Outcome.FULFILLED), (State.CLOSED, Outcome.FULFILLED)),
        ((State.CLOSED, PARTIAL), (State.CLOSED, Outcome.NO_DATA)),
        ((State.CLOSED, Outcome.WITHDRAWN), (State.CLOSED, Outcome.WITHDRAWN)),
        ((State.AWAITING_DECISION, None), (State.IN_PROGRESS, None)),
    ],
)
def test_unproved_requester_cannot_tell_a_customer_from_an_invented_address(
    theirs: tuple[State, Outcome | None], nobodys: tuple[State, Outcome | None]
) -> None:
    known = MARKETING | {"request_id": uuid7(), "subject_ref": uuid7()}
    customer = a_request(theirs[0], outcome=theirs[1], tasks=CUSTOMER, owed=True, **known)
    unknown = a_request(nobodys[0], outcome=nobodys[1], tasks=NO_MATCHES, **known)
    day = AT.date()
    assert view(customer, day, LETTERS, officer=False) == view(unknown, day, LETTERS, officer=False)
    assert view(customer, day, LETTERS, officer=False).tasks == []
    assert view(customer, day, LETTERS, officer=True) != view(unknown, day, LETTERS, officer=True)
    assert closing_letter(customer) == closing_letter(unknown)
    assert follow_up_letter(customer) == ()


def test_no_question_reveals_who_is_a_customer() -> None:
    lacks = {"operation": Operation.SUPPRESS, "not_searched": Unsearched.NOTHING_TO_SEARCH_BY}
    reports = [a_task("cdr", TaskOutcome.NOT_SEARCHED, **lacks)]
    asked = a_request(State.IN_PROGRESS, **MARKETING)
    assert replace(asked, anonymous=False).may_be_asked(reports)
    assert asked.may_be_asked(reports) is None


def test_what_went_with_its_key_is_made_unreadable_and_never_called_anonymised() -> None:
    closed = a_request(State.CLOSED, outcome=Outcome.FULFILLED, tasks=(ERASED,))
    body = body_of(closed, remains=Lines(LETTERS.remains(closed, AT)))
    assert "is made permanently unreadable" in body
    months = retention().correspondence_months
    assert f"Our letters about it, to you and to others, are kept for {months} months, encrypted" in body
    record = "The record of your request (what was asked, decided and done, and when) is kept for"
    assert f"{record} {retention().register_months} months" in body
    listed = "we keep the e-mail addresses and telephone numbers that we know to be yours as unreadable check values"
    assert listed in body
    untouched = replace(
        closed, outcome=PARTIAL, tasks=(a_task("crm", RETAINED, ground="legal_hold").model_copy(update={"found": 1}),)
    )
    failed = replace(closed, tasks=(ERASED, a_task("cdr", None, failure="unavailable")))
    empty = replace(closed, outcome=Outcome.NO_DATA, tasks=(a_task("crm", NO_MATCH),))
    for request, says in ((untouched, True), (failed, False), (empty, False)):
        assert (listed in LETTERS.words(LETTERS.remains(request, AT), Reader("en", "UTC", None))) is says
    assert "anonymi" not in body
    for other in (replace(closed, right=Right.ACCESS), replace(closed, outcome=Outcome.WITHDRAWN)):
        assert LETTERS.words(LETTERS.remains(other, AT), READER).startswith(record), "and nothing of an erasure"


def test_what_goes_with_a_consent_is_called_erased_and_the_rest_kept_from_marketing() -> None:
    for rows, says, before in (
        ({"subscription": 1}, "1 record erased (subscriptions: 1).", "we had erased 1 record in crm"),
        (
            {"subscription": 1, "contact": 2},
            "3 records erased or kept from marketing (contact data: 2, subscriptions: 1 erased).",
            "we had changed 3 records in crm",
        ),
        (
            {"contact": 2},
            "2 records kept from marketing (contact data: 2).",
            "we had kept from marketing 2 records",
        ),
    ):
        ended = ("subscription",) if "subscription" in rows else None
        count = sum(rows.values())
        task = a_task("crm", TaskOutcome.AMENDED, found=count, changed=count)
        task = task.model_copy(update={"operation": Operation.SUPPRESS, "by_category": rows, "ended": ended})
        closed = a_request(State.CLOSED, right=Right.CONSENT_WITHDRAWAL, outcome=Outcome.FULFILLED, tasks=(task,))
        assert says in body_of(closed)
        assert before in body_of(replace(closed, outcome=Outcome.WITHDRAWN))


# The answer to a request that ended with a question open.
RUNNING = a_request(State.IN_PROGRESS)
RESUMABLE = replace(RUNNING, state=State.CLOSED, closed_at=AT, resumable=True)


@pytest.mark.parametrize(
    ("outcome", "done"), [(Outcome.UNIDENTIFIED, "have done nothing"), (PARTIAL, "what was clear in your request.")]
)
def test_resumable_answer_names_what_was_done_and_the_open_question(outcome: Outcome, done: str) -> None:
    letter = answer(replace(RESUMABLE, outcome=outcome))
    assert done in letter
    assert "answer it at any time" in letter


def test_what_a_system_kept_is_named_also_where_a_question_is_still_open() -> None:
    known = {"task_id": RUNNING.request_id, "operation": "erase", "changed": 1}
    tasks = (
        TaskReport.model_validate({**known, "outcome": "retained", "system": "billing", "ground": "tax_law"}),
        TaskReport.model_validate({**known, "outcome": "erased", "system": "crm"}),
    )
    letter = answer(replace(RESUMABLE, outcome=PARTIAL, tasks=tasks))
    assert "In billing we keep data of yours, because" in letter
    assert "crm" not in letter


def test_uncounted_work_is_not_reported_as_nothing_done() -> None:
    task = Task(RUNNING.request_id, RUNNING.request_id, RUNNING.subject_ref, "crm", Operation.ERASE)
    done = Receipt(task.task_id, TaskOutcome.ERASED, count_unknown=CountUnknown.STORE_REPLACED).report(
        "crm", Operation.ERASE
    )
    assert (done.outcome, done.changed, done.count_unknown) == ("erased", 0, "store_replaced")
    kept = TaskReport(task_id=task.task_id, system="billing", operation="erase", outcome="retained", ground="tax")
    open_one = TaskReport(
        task_id=task.task_id, system="cdr", operation="erase", outcome=None, failure="data_still_present"
    )
    letter = answer(replace(RESUMABLE, outcome=PARTIAL, tasks=(done, kept, open_one)))
    assert "Nothing of what you asked for could be done" not in letter
    assert "in: cdr." in letter


@pytest.mark.parametrize("outcome", [Outcome.FULFILLED, PARTIAL])
def test_anonymised_data_are_not_reported_as_erased(outcome: Outcome) -> None:
    said = {"task_id": RUNNING.request_id, "operation": "erase", "outcome": "erased", "found": 3, "changed": 3}
    emptied = {"by_category": {"analytics_event": 3}, "anonymised": ["analytics_event"]}
    tasks = (TaskReport.model_validate({**said, "system": "site", **emptied}),)
    ended = replace(RUNNING, state=State.CLOSED, closed_at=AT, right=Right.ERASURE, outcome=outcome, tasks=tasks)
    letter = answer(ended)
    assert "We have erased your personal data or made them anonymous" in letter
    assert "In site, 3 records (use of our website) were not deleted but made anonymous" in letter


def test_a_request_that_was_resumed_is_in_progress_and_due_on_its_new_day() -> None:
    resumed = replace(RUNNING, due_on=date(2026, 5, 19))
    assert (
        standing(resumed, date(2026, 5, 19)) == "We are working on your request. You will hear from us by 19 May 2026."
    )


def test_no_day_is_promised_that_is_over() -> None:
    text = standing(replace(RESUMABLE, outcome=None, resumable=False, state=State.IN_PROGRESS), date(2027, 1, 1))
    assert "will hear" not in text
    assert text.endswith("and we are late: we do it now, without further delay.")


# What the receipts of all systems amount to.


def report(outcome: TaskOutcome, operation: Operation = Operation.ERASE) -> TaskReport:
    return TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=outcome)


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([ERASED_ALL, ERASED_ALL], Outcome.FULFILLED),
        ([ERASED_ALL, NO_MATCH], Outcome.FULFILLED),
        ([NO_MATCH, NO_MATCH], Outcome.NO_DATA),
        ([ERASED_ALL, RETAINED], PARTIAL),
        ([NO_MATCH, RETAINED], PARTIAL),
        ([TaskOutcome.EXPORTED, NO_MATCH], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED], Outcome.FULFILLED),
        ([TaskOutcome.AMENDED, TaskOutcome.NOT_HELD], Outcome.FULFILLED),
    ],
)
def test_kept_data_make_it_partial_and_none_no_data(outcomes: list[TaskOutcome], expected: Outcome) -> None:
    assert outcome_of(map(report, outcomes)) is expected


def test_locating_is_not_reported_as_work_done() -> None:
    assert outcome_of([report(TaskOutcome.LOCATED, Operation.LOCATE), report(NO_MATCH)]) is Outcome.NO_DATA


# Kept data are reported by category, with days and ground.
def kept(category: str, rule: str, first: date | None, last: date | None, count: int = 102) -> Kept:
    return Kept(category=category, rule=rule, count=count, first=first, last=last)


@pytest.mark.parametrize(
    ("by_rule", "said", "ground"),
    [
        (
            kept("call", "calls_us_18m", date(2026, 4, 2), date(2027, 9, 5)),
            "We erase each as soon as its own time is over, the first after 2 April 2026, the last after",
            "to which you can object under Art. 21 GDPR (Art. 17(1)(a) GDPR).",
        ),
        (
            kept("invoice", "invoices_84m", date(2030, 1, 31), date(2030, 1, 31), count=1),
            "we keep 1 record (invoices) until 31 January 2030, because contracts and invoices are needed for tax",
            "to defend legal claims (Art. 17(1)(a) GDPR). After that day we erase it.",
        ),
        (
            kept("call", "legal_hold", None, None),
            "Once that no longer applies we erase them, unless another rule keeps them for longer: then we write",
            "exercise or defend legal claims (Art. 17(3)(e) GDPR).",
        ),
    ],
)
def test_kept_data_are_reported_by_category_with_days_ground_and_article(by_rule: Kept, said: str, ground: str) -> None:
    retained = a_task("cdr", RETAINED, found=222, changed=120, ground=by_rule.rule, kept=(by_rule,))
    closed = a_request(State.CLOSED, outcome=PARTIAL, tasks=(ERASED, retained))
    body = body_of(closed, remains=Lines(LETTERS.remains(closed, AT)))
    assert said in body
    assert ground in body
    assert "obligation" not in body
    assert "Copies in our backups are overwritten by 9 April 2026" in body
    assert "permanently unreadable" not in body  # what is kept is still found by the subject's key


def test_data_kept_by_a_period_are_reported_as_reduced_and_under_a_hold_not() -> None:
    by_period = kept("call", "calls_us_18m", date(2026, 4, 2), date(2027, 9, 5)).model_copy(update={"period": "P18M"})
    for kept_by, reduced in ((by_period, True), (kept("call", "legal_hold", None, None), False)):
        retained = a_task("cdr", RETAINED, found=222, changed=120, ground=kept_by.rule, kept=(kept_by,))
        said = answer(a_request(State.CLOSED, outcome=PARTIAL, tasks=(retained,)))
        assert ("we keep only what that reason needs, and use it for nothing else" in said) is reduced


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("ground", get_args(Ground))
def test_only_union_or_member_state_law_is_a_duty(ground: Ground, language: Language) -> None:
    rule = signed_policy().rules["calls_us_18m"].model_copy(update={"ground": ground, "jurisdiction": "DE"})
    letters = LetterFacts(policy=signed_policy().model_copy(update={"rules": {"calls_us_18m": rule}}))
    retained = a_task("cdr", RETAINED, kept=(kept("call", "calls_us_18m", None, None),))
    reader = Reader(language, "Europe/Berlin", "DE")
    ((_, fields),) = closing.closing_letter(a_request(State.CLOSED, outcome=PARTIAL, tasks=(retained,)))
    duty, ground_alone = (
        letters.words(say(f"kept_by.{key}", ground="", article=article(ground)), reader)
        for key in ("obligation", "ground")
    )
    stays = fields["stays"]
    assert isinstance(stays, Lines)
    [text] = (letters.words(each, reader) for each in stays.sentences)
    assert (duty in text, ground_alone in text) == (ground == "17(3)(b)", True)


@pytest.mark.parametrize("language", LANGUAGES)
def test_data_of_an_unknown_country_are_kept_by_no_named_law(language: Language) -> None:
    calls, duty = signed_policy().rules["calls_us_18m"], {"ground": "17(3)(b)", "jurisdiction": "DE"}
    rule = calls.model_copy(update={**duty, "words": "the law of Germany has us keep calls"})
    letters = LetterFacts(policy=signed_policy().model_copy(update={"rules": {"calls_us_18m": rule}}))
    calls_kept = kept("call", "calls_us_18m", None, None)
    whole = []
    for shown in (True, False):
        said_of = calls_kept.model_copy(update={"shown": shown})
        here = a_task("cdr", RETAINED, found=222, ground=said_of.ground, kept=(said_of,))
        closed = a_request(State.CLOSED, outcome=PARTIAL, tasks=(here,))
        ((_, fields),) = closing.closing_letter(closed)
        stays = fields["stays"]
        assert isinstance(stays, Lines)
        whole.append(" ".join(letters.words(each, Reader(language, "Europe/Berlin", "DE")) for each in stays.sentences))
    by_law, by_none = whole
    assert rule.words in by_law
    assert rule.words not in by_none, "no country's law"
    assert letters.words(Term("ground", "country_unknown"), Reader(language, "Europe/Berlin", "DE")) in by_none


def test_of_a_system_that_a_hold_kept_from_being_asked_nothing_is_claimed_to_be_there() -> None:
    unseen, seen = (a_task(system, RETAINED, ground="legal_hold") for system in ("cdr", "crm"))
    seen = seen.model_copy(update={"found": 3, "remaining": 3})
    closed = a_request(State.CLOSED, outcome=PARTIAL, tasks=(unseen, seen))
    body = body_of(closed)
    assert "Whatever cdr may hold about you stays, because" in body
    assert "In crm we keep data of yours, because" in body
    assert "- cdr: left as it is for the reason named above; we have not looked" in body
    assert "0 of 0" not in body


# Rows that two rules keep: each rule counts from the local day in its own zone.
_NEW_YEAR_IN_BERLIN = datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
_OURS = Tenancy({None: ("ours",)})


def test_each_of_two_rules_counts_from_the_local_day_in_its_own_zone() -> None:
    table = tables_of(Dataset.load("kamailio"), {"start_time": "timestamp with time zone"}, _OURS)["acc_cdrs"]
    row = dict.fromkeys(table.columns, "") | {"id": 1, "start_time": _NEW_YEAR_IN_BERLIN, "served_domain": "ours"}
    record = table.record(row, (), data=False)
    policy, rule = signed_policy(), signed_policy().rules["calls_us_18m"]
    rules = {
        "in_berlin": rule.model_copy(update={"zone": "Europe/Berlin"}),
        "in_new_york": rule.model_copy(update={"zone": "America/New_York", "period": parse_period("P6M")}),
    }

    def kept_by(*names: str) -> Kept:
        category = policy.categories["call_record"].model_copy(update={"kept_by": names})
        ruled = policy.with_other(
            rules={**policy.rules, **rules}, categories={**policy.categories, "call_record": category}
        )
        asked = replace(task(Operation.PLAN), at=datetime(2026, 1, 10, tzinfo=UTC))
        found = SubjectRecords(asked, {record.name: OwnedRecord(record, frozenset({"caller"}))})
        [both] = plan_erasure("cdr", ruled, None, found, [table.shape]).retained_counts(marked=False)
        return both

    both = kept_by("in_berlin", "in_new_york")
    assert (both.rule, both.first, both.last) == ("in_berlin", date(2027, 7, 1), date(2027, 7, 1))
    assert (both.anchor, both.reduced) == (date(2025, 12, 31), date(2026, 6, 30))
    alone = kept_by("in_berlin")
    assert (alone.first, alone.anchor, alone.reduced) == (date(2027, 7, 1), date(2026, 1, 1), None)
