"""A person restricted as a consequence of another right is notified of it, and of its end."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes
from email.policy import SMTP
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.correspondence.message import Outgoing, compose, return_path
from services.correspondence.settings import SmtpSettings
from services.intake.delivery.manual import PrintedLetter, document
from services.intake.letters.delivery_queue import describe_state, pending_effects
from services.intake.request.aggregate import Request, Transition
from services.intake.request.delivery_effects import (
    OnDelivery,
    announced_effects,
    defer_until_delivered,
    on_delivered,
    on_returned,
    on_undeliverable,
    without_lift,
)
from services.intake.request.lifecycle import State
from services.intake.request.reports import coverage
from shared.domain.errors import IllegalTransition, Misconfigured
from shared.domain.events import (
    FulfilmentBlocked,
    FulfilmentCompleted,
    FulfilmentReported,
    LiftDecided,
    RequestClosed,
)
from shared.domain.notices import address_in, letters_in, token
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.precedence import RequestKind
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit_policy import Question
from tests.fixtures.events import a
from tests.fixtures.requests import AT, a_request, open_question
from tests.fixtures.words import answer, read

WORDS = {"reason": "It is accurate.", "article": "16", "explanation": "See the contract."}


def report(system: str, operation: Operation, **said: Any) -> TaskReport:
    known = {"task_id": uuid7(), "system": system, "operation": operation, "outcome": TaskOutcome.AMENDED}
    return TaskReport.model_validate(known | said)


RESTRICTED = (
    report("cdr", Operation.RESTRICT, found=222, changed=222, categories=("call",), by_category={"call": 222}),
    report("crm", Operation.RESTRICT, found=1, changed=1),
)
FAILED = report("crm", Operation.RECTIFY, outcome=None, failure="system_refused")
CORRECTED = report("crm", Operation.RECTIFY, found=1, changed=1)


def contested(*blocked: TaskReport) -> Request:
    """A contested rectification whose data every system has restricted, and that one system cannot correct."""
    request = a_request(State.IN_PROGRESS, right=Right.RECTIFICATION, scope="accuracy_contested")
    said: dict[str, Any] = {"operation": Operation.RESTRICT, "tasks": RESTRICTED, "right": Right.RECTIFICATION}
    request = request.complete(a(FulfilmentCompleted, **said), AT).request
    if not blocked:
        return request
    return request.block(a(FulfilmentBlocked, operation=Operation.RECTIFY, tasks=blocked)).request


def objection() -> Request:
    """Returns an objection with restricted data that is not weighed yet."""
    request = a_request(State.IN_PROGRESS, right=Right.OBJECTION, scope="legitimate_interests")
    return request.restricted(a(FulfilmentCompleted, operation=Operation.RESTRICT, tasks=RESTRICTED)).request


def refused() -> Transition:
    request = contested(FAILED)
    decided = request.decide("refuse", "ACCURATE", "16", "key", AT, owed=False).request
    return decided.report(a(FulfilmentReported, tasks=(FAILED,)), WORDS, AT)


def corrected() -> Transition:
    return contested(FAILED).complete(a(FulfilmentCompleted, operation=Operation.RECTIFY, tasks=(CORRECTED,)), AT)


ENDS: dict[str, Callable[[], Transition]] = {
    "corrected": corrected,
    "refused": refused,
    "withdrawn": lambda: contested(FAILED).withdraw(AT),
    "objection withdrawn": lambda: objection().withdraw(AT),
    "objection overridden": lambda: objection().weigh("overridden", "Why.", "key", AT),
    "restriction withdrawn": lambda: replace(contested(), right=Right.RESTRICTION).withdraw(AT),
}


@pytest.mark.parametrize("end", ENDS)
def test_every_end_lifts_the_restriction_after_a_notice(end: str) -> None:
    transition = ENDS[end]()
    kinds = [type(event) for event in transition.published]
    assert kinds[-2:] == [LiftDecided, RequestClosed]
    assert ("restriction.lift_decided", {"informed_at": AT.isoformat()}) in transition.evidence
    text = answer(transition.request)
    assert "On 5 March 2026 we decided to lift that restriction, and tell you so before we do." in text
    assert "lifted on" not in text
    assert "on another request of yours, stays in force" in text
    assert "Nothing was changed in any system" not in text
    assert transition.letters
    for _, fields in read(transition.letters):
        said = " ".join(str(value) for value in fields.values())
        assert (
            fields["about"] in {"lifting_decided", "lifting_given_up", "overridden"}
            or "we decided to lift that restriction" in said
        )


def test_restriction_is_reported_as_lifted_with_its_day_once_systems_lifted_it() -> None:
    kept = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=RESTRICTED)
    decided = replace(kept, lift_notified_at=AT)
    lifted = replace(decided, lifted_at=AT + timedelta(days=3))
    texts = {name: answer(each) for name, each in (("decided", decided), ("lifted", lifted))}
    assert texts["decided"].startswith("Your data are restricted for your request")
    assert "lifted on" not in texts["decided"]
    assert "as you had asked (Art. 18(1) GDPR). That restriction was lifted on 8 March 2026." in texts["lifted"]


def test_pending_manual_lift_is_not_reported_as_lifted() -> None:
    by_hand = report("crm", Operation.LIFT, outcome=None, failure="not_supported")
    kept = a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=(*RESTRICTED, by_hand))
    text = answer(replace(kept, lift_notified_at=AT, lifted_at=AT))
    assert "Not lifted so far, since a person does that by hand: crm." in text
    assert "It was in force in" not in text
    undone = report("desk", Operation.RESTRICT, outcome=None, failure="system_refused")
    in_part = replace(kept, outcome=Outcome.PARTIALLY_FULFILLED, tasks=(*RESTRICTED, undone), lift_notified_at=AT)
    assert "It was in force in: cdr and crm." in answer(in_part)


def test_a_refusal_says_that_nothing_was_corrected_and_that_data_were_restricted() -> None:
    ((_, fields),) = read(refused().letters)
    assert fields["about"] == "refused"
    assert "No value was corrected. What was tried in crm was not finished." in fields["answer"]
    assert "Your data are restricted for your request (Art. 18(1)(a) GDPR)." in fields["answer"]


def test_a_restriction_that_the_right_brings_with_it_does_not_keep_anybody_from_refusing() -> None:
    contested(FAILED).must_allow_to("refuse")
    with pytest.raises(IllegalTransition, match="done in part, in billing"):
        contested(FAILED, report("billing", Operation.RECTIFY, found=1, changed=1)).must_allow_to("refuse")


def test_what_is_answered_in_part_stays_restricted_and_says_so() -> None:
    decided = contested(FAILED).decide("answer_in_part", "SYSTEM_FAILED", "12(4)", "key", AT, owed=True).request
    answered = decided.report(a(FulfilmentReported, tasks=(FAILED,)), WORDS, AT)
    assert LiftDecided not in map(type, answered.published)
    assert "stays restricted: it is kept, and not used for anything else. We tell you" in answer(answered.request)


def test_while_it_is_worked_on_the_person_reads_that_their_data_are_restricted_and_where() -> None:
    waiting = contested(FAILED)
    assert "Until that is settled your data is restricted (Art. 18(1)(a) GDPR)" in answer(waiting)
    covered = {(each.system, each.operation, each.category): each.result for each in coverage(waiting.tasks)}
    assert covered["cdr", "restrict", "call"] == "amended"
    assert covered["crm", "rectify", None] == "failed"


def test_work_of_each_system_is_reported_by_its_operation() -> None:
    ((_, fields),) = read(objection().withdraw(AT).letters)
    assert fields["done"] == "- cdr: 222 records restricted (calls: 222).\n- crm: 1 record restricted."


@pytest.mark.parametrize("found", [0, 1])
def test_unknown_person_does_not_read_that_data_are_restricted(found: int) -> None:
    tasks = (report("cdr", Operation.RESTRICT, found=found, changed=0),)
    text = answer(a_request(State.CLOSED, right=Right.RESTRICTION, outcome=Outcome.FULFILLED, tasks=tasks))
    assert text.startswith("Your data is restricted:" if found else "None of our systems holds data of yours now")


# Letters that are delivered: what waits for that, by what they are known again, and where their address stands.
SECRET = b"s" * 32


def closing(channel: str, **said: object) -> tuple[Request, list[str], list[object]]:
    request = a_request(State.IN_PROGRESS, channel=channel, **said)
    transition, sent = defer_until_delivered(request.complete(a(FulfilmentCompleted), AT))
    return (transition.request, [type(each).__name__ for each in transition.published], [each["what"] for each in sent])


@pytest.mark.parametrize("channel", ["email", "post"])
def test_an_answer_that_is_sent_ends_nothing_until_it_is_delivered(channel: str) -> None:
    request, published, notices = closing(channel)
    assert (request.state, request.responded_at) == (State.CLOSED, None)
    assert (published, notices) == ([], ["answer"])
    known = on_delivered(request, [{"what": "answer"}], AT)
    assert [type(each).__name__ for each in known.published] == ["RequestClosed"]
    assert known.request.responded_at == AT
    assert on_delivered(known.request, [{"what": "answer"}], AT).published == ()


def test_an_erasure_waits_for_a_copy_until_its_answer_is_delivered() -> None:
    request, _, _ = closing("email", right=Right.ACCESS)
    assert request.precedes is RequestKind.COPY
    assert on_delivered(request, [{"what": "answer"}], AT).request.precedes is None


@pytest.mark.parametrize(("channel", "tells"), [("api", []), ("events", []), ("portal", ["answer"])])
def test_fetched_answer_takes_effect_immediately(channel: str, tells: list[str]) -> None:
    request, published, notices = closing(channel)
    assert request.responded_at == AT
    assert (published, notices) == (["RequestClosed"], tells)


def test_portal_answer_takes_effect_once_its_mail_was_accepted() -> None:
    request, _, _ = closing("portal")
    there: list[OnDelivery] = [{"what": "answer", "there": True}]
    assert on_delivered(request, there, AT).published == (), "it was given when it could be read"
    longer = a_request(State.IN_PROGRESS, channel="portal")
    extending = longer.extend(longer.due_on + timedelta(days=9), "VOLUME", {}, AT, "key", tell_before=AT + timedelta(1))
    transition, tells = defer_until_delivered(extending)
    assert ([each["what"] for each in tells], on_delivered(transition.request, tells, AT).published) == (
        ["extension"],
        (),
    )
    back = on_returned(request, there).request
    assert back.responded_at is None
    known = on_delivered(back, announced_effects(there), AT)
    assert [type(each).__name__ for each in known.published] == ["RequestClosed"]


def test_a_letter_that_came_back_takes_its_answer_back_once() -> None:
    request, _, _ = closing("email")
    known = on_delivered(request, [{"what": "answer"}], AT).request
    back = on_returned(known, [{"what": "answer"}])
    assert [type(each).__name__ for each in back.published] == ["LetterReturned"]
    assert back.request.responded_at is None
    assert on_returned(back.request, [{"what": "answer"}]).published == ()


def test_letter_about_a_closed_question_asks_nothing() -> None:
    request = a_request(State.AWAITING_IDENTITY, channel="email")
    about: OnDelivery = {
        "what": "question",
        "question": "identity",
        "question_id": str(uuid7()),
        "condition_recorded": False,
    }
    assert on_delivered(request, [about], AT).published == ()


def test_identity_can_be_asked_again_after_an_undeliverable_letter() -> None:
    request = a_request(State.AWAITING_IDENTITY, channel="email", question=open_question())
    assert request.question
    question: OnDelivery = {"what": "question", "question_id": str(request.question.question_id)}
    given_up = on_undeliverable(request, [question], AT).request
    assert given_up.question is None
    assert given_up.ask(Question.IDENTITY, uuid7(), "Who?", AT, recorded=False).request.question
    meant = a_request(State.AWAITING_CLARIFICATION, channel="email", question=open_question())
    assert meant.question
    about: OnDelivery = {"what": "question", "question_id": str(meant.question.question_id)}
    assert on_undeliverable(meant, [about], AT).request == meant, "what it waits for may be answered still"
    assert on_undeliverable(request, [{**question, "question_id": str(uuid7())}], AT).request == request


def test_restriction_with_an_undeliverable_lift_notice_stays() -> None:
    request = a_request(State.CLOSED, channel="email", right=Right.RESTRICTION, lift_notified_at=AT, responded_at=AT)
    given_up = on_undeliverable(request, [{"what": "lift"}], AT)
    assert given_up.published == ()
    assert given_up.request.lift_notified_at is None


def test_portal_lift_begins_immediately_and_is_unknown_after_a_refused_mail() -> None:
    known = {"channel": "portal", "right": Right.RESTRICTION, "outcome": Outcome.FULFILLED}
    request = a_request(State.CLOSED, **known, responded_at=AT)
    transition, tells = defer_until_delivered(request.lift(AT))
    assert ([type(each).__name__ for each in transition.published], tells) == (
        ["LiftDecided"],
        [{"what": "lift", "there": True}],
    )
    assert announced_effects(tells) == [], "systems are at it"


def test_what_waits_for_a_letter_is_said_of_each_that_is_not_delivered() -> None:
    extension: OnDelivery = {"what": "extension", "due_on": "2026-06-01", "due_before": "2026-04-02"}
    [said] = pending_effects("waiting", [extension])
    assert "due on 2026-04-02" in said
    assert (
        [*pending_effects("sent", [extension])]
        == [*pending_effects("needs_attention", [{**extension, "there": True}])]
        == []
    )
    [stays] = pending_effects("needs_attention", [{"what": "lift"}])
    assert "stays" in stays
    assert [*pending_effects("needs_attention", without_lift([{"what": "lift"}]))] == []
    assert "came back" not in describe_state("update", "waiting", None)
    assert describe_state("portal_news", "needs_attention", "put_off").endswith("put off.")


@given(st.uuids())
def test_a_token_is_known_again_in_whatever_case_and_company(letter_id: UUID) -> None:
    sealed = token(SECRET, letter_id)
    assert list(letters_in(SECRET, f"Re: <bounces+{sealed.upper()}@example.org>, {sealed}")) == [letter_id]
    assert list(letters_in(b"t" * 32, sealed)) == []
    assert len(return_path(sealed, "b" * 20 + "@example.org").partition("@")[0]) <= 64


@given(st.uuids(), st.integers(0, 15))
def test_an_id_of_a_letter_alone_opens_nothing(letter_id: UUID, place: int) -> None:
    sealed = token(SECRET, letter_id)
    at = 27 + place
    forged = sealed[:at] + ("b" if sealed[at] != "b" else "c") + sealed[at + 1 :]
    assert list(letters_in(SECRET, forged)) == []


@pytest.mark.parametrize(
    ("to", "address"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Carrier Ltd <privacy@carrier.example>", "privacy@carrier.example"),
        ("Carrier Ltd, Street 1, privacy@carrier.example, +49 221 1", None),
        ("+4922112345", None),
        ("Ada Quarzfels", None),
    ],
)
def test_a_letter_is_mailed_where_it_names_an_address_and_nothing_else(to: str, address: str | None) -> None:
    assert address_in(to) == address


def test_a_letter_says_in_which_language_it_is_and_that_no_machine_answers_it() -> None:
    letter = Outgoing("l", "ada@example.org", "de", "Grüße", "<p>Grüße</p>", AT)
    sent = compose(letter, "privacy@example.org", "Example")
    mail = message_from_bytes(sent, policy=SMTP)
    assert sent.isascii(), "it goes by every server as it is"
    assert (mail["Content-Language"], mail["Auto-Submitted"]) == ("de", "auto-replied")
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("long", [f"<{'DB9PR04MB8412F0C6' * 5}@eurprd04.prod.outlook.example>", "<1@mail.example>"])
def test_a_letter_stands_in_the_thread_of_a_mail_whatever_that_is_called(long: str) -> None:
    before = (long, "<ü@x>", "(((", "<2@example.org>")
    letter = Outgoing("l", "ada@example.org", "de", "Grüße", "<p>Grüße</p>", AT, before)
    sent = compose(letter, "privacy@example.org", "Example").partition(b"\r\n\r\n")[0].decode("ascii")
    assert f"References: {long} <2@example.org>\r\n" in sent
    assert "In-Reply-To: <2@example.org>\r\n" in sent


def test_a_header_cannot_be_smuggled_into_a_letter() -> None:
    letter = Outgoing("l", "ada@example.org\r\nBcc: eve@example.org", "en", "Hello", "<p>Hello</p>", AT)
    with pytest.raises(ValueError, match=r"."):
        compose(letter, "privacy@example.org", "Example")


def test_the_address_stands_in_the_window_of_an_envelope() -> None:
    html = "<html><body>\n<header><p>Example</p></header><main><p>Dear</p></main></body></html>"
    page = document([PrintedLetter(uuid7(), html, ["Ada", "Street 1", "50667 Köln"])], ("Example AG", "Way 2"))
    lengths = {name: float(mm) for name, mm in re.findall(r"([a-z-]+):([\d.]+)mm", page.partition(".return")[0])}
    margin = lengths["margin"]
    window = (margin + lengths["left"], margin + lengths["top"], lengths["width"], lengths["height"])
    assert [*window] == [20.0, 45.0, 85.0, 45.0], "DIN 5008, form B, in millimetres"
    assert margin + lengths["padding-top"] >= 45 + 45, "no text stands in the window"
    assert re.search(r"\.return\{height:17\.7mm", page)
    assert re.search(r"\.to\{margin:0;height:27\.3mm;font-size:10pt;line-height:4\.55mm", page), (
        "six lines of 8 pt or more"
    )
    assert "Example AG · Way 2" in page
    assert "<main><p>Dear</p></main>" in page


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"DSR_SMTP_HOST": "mail.example.org"}, "DSR_SMTP_SENDER is not set"),
        ({"DSR_SMTP_HOST": "mail.example.org", "DSR_SMTP_TLS": "none"}, "encrypted"),
        ({"DSR_SMTP_BOUNCES": "reports-of-what-came-back@example.org"}, "at most 20 characters"),
        ({"DSR_SMTP_USERNAME": "dsr"}, "belong together"),
    ],
)
def test_letters_leave_encrypted(wrong: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "encrypted" in says:
        monkeypatch.setenv("DSR_SMTP_SENDER", "privacy@example.org")
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured, match=says):
        SmtpSettings()
