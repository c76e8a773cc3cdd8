"""What the portal asks next, reads from a form, and says of what comes next."""

import asyncio
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from email.message import EmailMessage
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.intake.console import (
    breach_steps,
    entry,
    holds,
    inbox,
    outgoing,
    proof_words,
    queue,
    roles,
    stopped,
    systems,
)
from services.intake.console.decisions import form, options
from services.intake.console.decisions.decision import Decision
from services.intake.console.decisions.of_requests import DECISIONS
from services.intake.console.roles import ROLES, Power, Role, granted, powers
from services.intake.errors import Forbidden
from services.intake.grant import Power as OfKey
from services.intake.identity.stopped import Why
from services.intake.mail import apart
from services.intake.mail.incoming import MailKind, Ours, plain, read
from services.intake.mail.proposal import mail_policy, propose
from services.intake.mail.wire import answer, answered, asked, question
from services.intake.portal import draft as drafts
from services.intake.portal.draft import Draft, SignedIn
from services.intake.portal.settings import PortalSettings
from services.intake.portal.told import found_where, may_sign_in, may_withdraw, next_steps
from services.intake.request.coverage import coverage
from services.intake.request.lifecycle import State
from services.intake.request_file import What
from services.intake.web.forms import Form
from services.intake.worklist import Waits
from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.notice_tokens import token
from shared.domain.operations import Operation, TaskReport, Unsearched
from shared.domain.release import Fault
from shared.domain.rights import Outcome, Right
from shared.domain.wording import LANGUAGES
from tests.fixtures.requests import a_request, open_question
from tests.fixtures.words import words

FULL = Draft(key="k", right=Right.ACCESS, whom="me", email="Ada@Example.org", details=True)
ZONES = ("America/Denver", "Europe/Berlin")
UNPROVED = TaskReport.model_validate(
    {
        "task_id": "019c0000-0000-7000-8000-000000000001",
        "system": "cdr",
        "operation": Operation.EXPORT,
        "outcome": "not_searched",
        "not_searched": Unsearched.NOT_PROVED,
        "level": "L2",
    }
)


def test_each_page_leads_to_what_is_missing_first_and_the_last_to_all_of_it() -> None:
    steps = [
        Draft.begun(),
        Draft(key="k", right=Right.ACCESS),
        Draft(key="k", right=Right.RESTRICTION),
        FULL.with_(email=""),
        FULL.with_(details=False),
        FULL,
    ]
    assert [each.next for each in steps] == ["right", "whom", "detail", "contact", "details", "check"]


def test_a_session_of_the_customer_portal_proves_its_account_and_its_own_address_alone() -> None:
    for email, proved in (("ada@example.org", ["account_id", "email"]), ("eve@example.org", ["account_id"])):
        who = SignedIn(account_id="CU-17", email=email, method="signed_in_mfa")
        submission = FULL.with_(account="somebody else's").submission("de", who, ZONES)
        assert [each.identity for each in submission.proofs] == proved
        assert submission.subject.account_id == "CU-17", "what they type is not what they have shown"


def test_what_nobody_vouches_for_is_submitted_without_any_proof() -> None:
    submission = FULL.with_(account="CU-17", numbers=(drafts.Number(number="+4930901820", since="2021-03-31"),))
    stated = submission.submission("de", None, ZONES)
    assert stated.proofs == ()
    (number,) = [each for each in stated.subject.identities() if each.type is IdentityType.PHONE]
    assert (number.value, str(number.valid_from)) == ("+4930901820", "2021-03-30 22:00:00+00:00")


@pytest.mark.parametrize("purposes", [[], ["marketing", "made_up"]])
def test_a_consent_that_nobody_has_given_is_not_withdrawn(purposes: list[str]) -> None:
    _, faults = drafts.read_detail(Right.CONSENT_WITHDRAWAL, Form({"purposes": purposes}), frozenset({"marketing"}))
    assert [field for field, _ in faults] == ["purposes"]


@pytest.mark.parametrize("state", list(State))
def test_of_every_request_that_is_open_it_is_said_what_comes_next(state: State) -> None:
    request = a_request(state=state)
    answered = state in {State.RESPONDED, State.CLOSED}
    assert bool(next_steps(request)) is not answered
    assert may_withdraw(request) is request.allows("withdraw")


def test_where_more_proof_is_needed_it_is_said_for_what() -> None:
    waits = a_request(state=State.AWAITING_IDENTITY)
    assert [each.key for each in next_steps(waits)] == ["portal_next.proof"]
    assert [each.key for each in next_steps(replace(waits, tasks=(UNPROVED,)))] == ["portal_next.more_proof"]
    closed = a_request(state=State.CLOSED, outcome=Outcome.UNIDENTIFIED, resumable=True)
    assert [each.key for each in next_steps(closed)] == ["portal_next.resumable"]


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.AWAITING_CLARIFICATION])
def test_nobody_whom_we_have_asked_something_reads_that_they_need_do_nothing(state: State) -> None:
    asked = a_request(state=state, question=open_question(uuid7()))
    [said] = [each.key for each in next_steps(asked)]
    assert said in {"portal_next.question", "portal_next.question_at_work"}


@pytest.mark.parametrize("state", [State.AWAITING_IDENTITY, State.AWAITING_DECISION, State.CLOSED])
def test_what_needs_a_second_factor_is_asked_for_also_once_a_code_was_typed(state: State) -> None:
    ended: dict[str, Any] = {"outcome": Outcome.PARTIALLY_FULFILLED, "resumable": True}
    waits = a_request(state=state, tasks=(UNPROVED,), **(ended if state is State.CLOSED else {}))
    assert may_sign_in(waits)
    said = [each.key for each in next_steps(waits)]
    assert said[0] == "portal_next.more_proof"
    assert not {"portal_next.person", "portal_next.resumable"} & {*said}, "they can do something"
    if state is not State.AWAITING_IDENTITY:
        assert not may_sign_in(replace(waits, tasks=()))


def reported(system: str, number: int, **said: Any) -> TaskReport:
    known = {"task_id": UUID(int=number), "system": system, "operation": Operation.EXPORT, "outcome": "exported"}
    return TaskReport.model_validate(known | said)


def test_every_kind_that_was_searched_stands_once_with_what_the_last_search_has_found() -> None:
    kinds = ("account", "profile")
    before = reported("crm", 1, found=1, changed=1, by_category={"profile": 1}, categories=kinds, outcome="amended")
    after = reported("crm", 2, found=2, changed=2, by_category={"account": 1, "profile": 1}, categories=kinds)
    shown = [
        (words(each.system), words(each.kind), words(each.count)) for each in found_where(coverage((before, after)))
    ]
    assert shown == [("crm", "account", "1"), ("crm", "profile", "1")]
    gone = after.model_copy(update={"outcome": "no_match", "found": 0, "by_category": {}})
    assert [words(each.count) for each in found_where(coverage((before, gone)))] == ["0", "0"]


def test_a_kind_that_was_restricted_and_corrected_stands_once() -> None:
    kinds = {"categories": ("account",), "by_category": {"account": 3}, "found": 3, "outcome": "amended"}
    restricted = reported("crm", 1, operation="restrict", **kinds)
    corrected = reported("crm", 2, operation="rectify", **{**kinds, "found": 1, "by_category": {"account": 1}})
    assert [words(each.count) for each in found_where(coverage((restricted, corrected)))] == ["3"]


def test_what_was_searched_as_a_whole_is_counted_too_and_what_was_not_searched_is_no_line() -> None:
    tasks = (
        reported("cdr", 1, operation="restrict", outcome="amended", found=278, changed=278),
        reported("web", 2, outcome="no_match"),
        reported("store", 3, operation="erase", outcome="erased", uncounted="store_replaced"),
        *(reported("old", 4, outcome="no_longer_held"), reported("by_hand", 5, outcome=None, failure="not_supported")),
        reported("later", 6, outcome=None),
        UNPROVED,
    )
    shown = {words(each.system): words(each.count) for each in found_where(coverage(tasks))}
    assert shown == {"cdr": "278", "web": "0", "store": "nobody can count them"}


@pytest.mark.parametrize(
    "url", ["http://privacy.example", "https://privacy.example/path", "privacy.example", "ftp://privacy.example"]
)
def test_a_portal_is_reached_by_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(Misconfigured, match="DSR_PORTAL_URL"):
        PortalSettings(url=url)


def test_who_vouches_for_sign_ins_is_said_whole() -> None:
    with pytest.raises(Misconfigured, match="set all three"):
        PortalSettings(sign_in_url="https://my.example/privacy")


DAYS = st.sampled_from(["", "2024-01-31", "2024-02-30", "20240101", "2024-W10", "2024-W10-1", "2024-1-1"])
NUMBERS = st.sampled_from(["030 901820", "+4930901820", "12"])
WORDS = st.sampled_from(["", "C-1"]) | st.text(max_size=12)
PLACES = st.sampled_from(["DE", "", "US"])


@given(
    st.fixed_dictionaries({"number1": NUMBERS, "since1": DAYS, "country": PLACES})
    | st.fixed_dictionaries({"number1": NUMBERS, "until1": DAYS, "country": PLACES, "name": WORDS, "account": WORDS})
    | st.fixed_dictionaries({"email": WORDS, "name": WORDS, "country": WORDS, "account": WORDS, "number1": WORDS})
)
def test_what_no_page_complains_of_can_be_sent(said: dict[str, str]) -> None:
    form = Form({"email": ("ada@example.org",), **{name: (value.strip(),) for name, value in said.items()}})
    contact, wrong = drafts.read_contact(form, frozenset({"DE", "US"}))
    details, more = drafts.read_details(form, contact["country"], date(2026, 3, 2))
    if not (wrong or more):
        sent = FULL.with_(**contact, **details).submission("de", None, ZONES)
        assert sent.subject.email == contact["email"]


def test_another_country_is_asked_what_a_number_without_its_code_is() -> None:
    numbers = (drafts.Number(number="030 901820"),)
    assert drafts.wrong_numbers(numbers, "DE", date(2026, 3, 2)) == []
    assert [field for field, _ in drafts.wrong_numbers(numbers, "", date(2026, 3, 2))] == ["number1"]


def test_a_period_has_the_whole_of_its_first_and_its_last_day_wherever_they_are_meant() -> None:
    numbers = (drafts.Number(number="+4930901820", since="2021-03-31", until="2021-03-31"),)
    (number,) = FULL.with_(numbers=numbers).submission("de", None, ZONES).subject.phones
    assert [str(each) for each in (number.since, number.until)] == [
        "2021-03-30 22:00:00+00:00",
        "2021-04-01 06:00:00+00:00",
    ]
    assert drafts.wrong_numbers(numbers, "DE", date(2026, 3, 2)) == []


def test_the_button_of_a_page_that_was_shown_before_somebody_signed_in_sends_nothing() -> None:
    who = SignedIn(account_id="CU-17", method="account")
    assert len({FULL.mark(None), FULL.mark(who), FULL.mark(who.model_copy(update={"account_id": "CU-18"}))}) == 3


# The tables of decisions: every field is one of its body, every name is one, and roles follow from them.
ASSESS = next(each for each in breach_steps.STEPS if each.name == "assess")
MATTERS = (
    *DECISIONS,
    *breach_steps.STEPS,
    *(breach_steps.ENTER, entry.ENTER),
    *(holds.PLACE, holds.REVIEW, holds.LIFT, inbox.CONFIRM, inbox.DISMISS),
    *(outgoing.POSTED, outgoing.DELIVER, outgoing.GIVE_UP, stopped.RELEASE, stopped.SWEEP, stopped.SETTLE),
    *(systems.QUARANTINE, systems.RELEASE_SYSTEM),
)


@pytest.mark.parametrize("decision", MATTERS, ids=lambda each: each.name)
def test_a_decision_asks_for_fields_of_its_body(decision: Decision) -> None:
    fields = decision.body.model_fields if decision.body else {}
    asked = [name for each in decision.asks for name in each.name.split("+")]
    assert {name.split(".")[0] for name in asked} <= set(fields)
    required = {name for name, field in fields.items() if field.is_required()} - set(decision.fixed)
    assert required <= {name.split(".")[0] for name in asked}
    assert decision.power in {Power.HANDLE, Power.APPROVE, Power.RELEASE}


def test_why_a_proof_waits_is_said_of_every_reason_that_there_is() -> None:
    assert proof_words.WHY.keys() == set(get_args(Why))


def test_each_table_of_words_has_those_of_everything_that_it_is_asked_for() -> None:
    assert {*stopped.DECIDED_BY} == {*get_args(What)}
    assert {*queue.WAITS} == {*Waits}
    assert {*roles.WORDS} == {*Power}
    assert {*options.LANGUAGES} == {*LANGUAGES}
    assert all(fault.sentence for fault in Fault)


def test_wrong_field_is_explained_in_our_words() -> None:
    wrong = form.read(ASSESS, Form({"reasons": ["So."], "concerned": ["nobody"]}), ZoneInfo("UTC"))
    assert isinstance(wrong, list)
    assert "write a reference as 019c0000-…" in wrong[0].text


def test_every_decision_has_a_name_of_its_own() -> None:
    names = [each.name for each in DECISIONS]
    assert len(set(names)) == len(names)


def test_who_only_looks_is_refused_by_the_use_cases_too() -> None:
    with pytest.raises(Forbidden):
        granted([Role.AUDITOR]).must(OfKey.SUBMIT)


def test_several_roles_add_up_and_none_has_all() -> None:
    assert powers([Role.AUDITOR, Role.ADMIN]) == ROLES[Role.AUDITOR] | ROLES[Role.ADMIN]
    assert all(powers([role]) < frozenset(Power) for role in Role)
    assert Power.APPROVE not in powers([Role.HANDLER])


# What a mail is taken to be: whatever it holds it is read, and what it says of itself decides nothing.
ARRIVED = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
OURS = Ours(b"s" * 32, frozenset({"privacy@example.org"}), frozenset({"mx.example.org"}))
MX = "from a.example by mx.example.org with ESMTPS; Sat, 28 Feb 2026 23:59:00 +0100"


def a_mail(text: str = "Hello", subject: str = "Hello", **headers: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Ada <ada@mail.example>", "support@example.org", subject
    for name, value in headers.items():
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail


@given(st.binary(max_size=2_000))
def test_whatever_comes_is_read(raw: bytes) -> None:
    assert read(raw, ARRIVED, OURS).received_at <= ARRIVED
    assert read(b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n" + raw, ARRIVED, OURS).digest


_NAMES = ("From", "To", "Subject", "Message-ID", "Content-Type", "Content-Disposition", "Received", "X")
_PIECES = (
    "(",
    "=?utf-8?q?x?= ",
    "a@b.c, ",
    "<",
    '"',
    "multipart/mixed; boundary=x",
    "\ud800",
    "\0",
    "é",
    ";",
    "=",
    "\n ",
)
HEADERS = st.lists(st.tuples(st.sampled_from(_NAMES), st.sampled_from(_PIECES), st.integers(1, 40)), max_size=6)


def nested(kind: str, deep: int) -> bytes:
    """So many of them, one in the other."""
    line = "--b{n}\n" if kind.startswith("multipart") else ""
    heads = (f"Content-Type: {kind}; boundary=b{n}\n\n{line.format(n=n)}" for n in range(deep))
    return "".join(heads).encode() + b"\nHello"


@given(HEADERS, st.sampled_from(["multipart/mixed", "message/rfc822", "multipart/digest"]), st.integers(0, 12))
def test_any_headers_and_parts_can_be_read(headers: list[tuple[str, str, int]], kind: str, deep: int) -> None:
    said = "".join(f"{name}: {piece * times}\n" for name, piece, times in headers)
    found = read(said.encode("utf-8", "surrogatepass") + nested(kind, deep), ARRIVED, OURS)
    assert answered(answer(found)) == found
    assert asked(question(b"raw", ARRIVED, OURS, b"body")) == (b"raw", ARRIVED, OURS, b"body")


@pytest.mark.parametrize(
    "raw",
    [
        *(f"{name}: {'(' * 5_000}\n\nHello".encode() for name in _NAMES),
        *(f"{name}: {'=?utf-8?q?x?= ' * 25_000}\n\nHello".encode() for name in ("Subject", "From", "Message-ID")),
        b"To: " + b"a@b.c, " * 50_000 + b"\n\nHello",
        b"Content-Type: text/plain; charset=utf-7\n\n+2AA-Hello",
        b"Content-Type: text/plain; charset=unicode_escape\n\n\\ud800\\x00Hello",
        b"Content-Type: message/rfc822\n\nSubject: x\n\nHello",
    ],
)
def test_what_makes_others_stand_still_is_read_like_any_other(raw: bytes) -> None:
    found = read(raw, ARRIVED, OURS)
    assert "Hello" in found.text
    assert answered(answer(found)) == found


@pytest.mark.parametrize("raw", [nested("multipart/mixed", 1_000), nested("message/rfc822", 2_000)])
async def test_a_mail_that_cannot_be_read_is_put_before_a_person_and_ends_nothing(raw: bytes) -> None:
    found = await apart.read(raw, ARRIVED, OURS)
    assert (found.kind, found.received_at) == (MailKind.UNREADABLE, ARRIVED)
    assert found.digest == (await apart.read(raw.replace(b"\n", b"\r\n"), ARRIVED, OURS)).digest


async def test_a_mail_whose_parser_is_killed_is_put_before_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_COMMAND", ("sh", "-c", "kill -9 $$"))
    assert (await apart.read(a_mail().as_bytes(), ARRIVED, OURS)).kind is MailKind.UNREADABLE


LARGEST = 25 * 2**20
PEAK = """
import asyncio, datetime, resource, sys
from services.intake.mail import apart
from services.intake.mail.incoming import Ours
ours = Ours(b"s" * 32, frozenset(), frozenset())
asyncio.run(apart.read(sys.stdin.buffer.read(), datetime.datetime.now(datetime.UTC), ours))
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 2**10)
"""


@pytest.mark.parametrize("body", [b"Please send me my data.\r\n", b"--b\r\n\r\nHello\r\n"])
async def test_the_largest_mail_takes_its_parser_little_memory(body: bytes) -> None:
    raw = a_mail().as_bytes().partition(b"\n\n")[0] + b"\n\n" + body * (LARGEST // len(body))
    if body.startswith(b"--b"):
        raw = raw.replace(b"text/plain", b"multipart/mixed; boundary=b", 1)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PEAK, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate(raw)
    assert int(told) < 160, "MiB"


async def test_of_a_long_mail_the_beginning_is_read_and_its_copy_is_known_all_the_same() -> None:
    raw = a_mail().as_bytes() + b"Please send me my data.\n" * 200_000
    found = await apart.read(raw, ARRIVED, OURS)
    assert (found.kind, found.cut, found.sender) == (MailKind.PROPOSED, True, "ada@mail.example")
    copy = (b"Received: from a by b\n" + raw).replace(b"\n", b"\r\n")
    assert (await apart.read(copy, ARRIVED, OURS)).digest == found.digest
    assert (await apart.read(raw + b"Also delete it.\n", ARRIVED, OURS)).digest != found.digest
    assert not (await apart.read(a_mail().as_bytes(), ARRIVED, OURS)).cut


@pytest.mark.parametrize(
    ("received", "at"),
    [
        (MX, datetime(2026, 2, 28, 22, 59, tzinfo=UTC)),
        ("from a by mx.elsewhere.example; Sat, 28 Feb 2026 23:59:00 +0100", ARRIVED),
        ("from mx.example.org by a.example; Sat, 28 Feb 2026 23:59:00 +0100", ARRIVED),
        ("from a by mx.example.org; Sat, 28 Feb 2099 23:59:00 +0100", ARRIVED),
        ("from a by mx.example.org; yesterday", ARRIVED),
    ],
)
def test_a_mail_has_reached_us_when_our_exchanger_says_so_and_no_other(received: str, at: datetime) -> None:
    assert read(a_mail(Received=received).as_bytes(), ARRIVED, OURS).received_at == at


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Auto-Submitted", "auto-generated; x=y"),
        ("Precedence", "bulk"),
        ("Return-Path", "<>"),
        ("Reply-To", "privacy@example.org"),
    ],
)
def test_no_header_keeps_a_mail_from_a_person(header: str, value: str) -> None:
    mail = a_mail(**{header.replace("-", "_"): value})
    assert read(mail.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED


def test_an_address_of_ours_is_never_taken_for_the_sender() -> None:
    mail = a_mail(Reply_To="privacy@example.org")
    assert read(mail.as_bytes(), ARRIVED, OURS).sender == "ada@mail.example"
    mail.replace_header("From", "Form <PRIVACY@example.org>")
    from_us = read(mail.as_bytes(), ARRIVED, OURS)
    assert (from_us.kind, from_us.sender) == (MailKind.PROPOSED, "")
    mail.replace_header("Reply-To", "Eve <eve@mail.example>")
    assert read(mail.as_bytes(), ARRIVED, OURS).sender == "eve@mail.example"


def test_a_mail_is_from_whom_it_says_it_is_from_and_what_else_it_names_stands_apart() -> None:
    mail = a_mail(Reply_To="Eve <Eve@mail.example>")
    found = read(mail.as_bytes(), ARRIVED, OURS)
    assert (found.sender, found.besides) == ("ada@mail.example", ("eve@mail.example",))
    assert propose(found, mail_policy()).email == "ada@mail.example"
    mail.replace_header("From", "Ada <ada@mail.example>, Ben <ben@mail.example>")
    assert read(mail.as_bytes(), ARRIVED, OURS).besides == ("ben@mail.example", "eve@mail.example")
    mail.replace_header("From", "Form <privacy@example.org>")
    mail.replace_header("Reply-To", "Eve <eve@mail.example>")
    by_form = read(mail.as_bytes(), ARRIVED, OURS)
    assert (by_form.name, by_form.sender, by_form.besides) == ("Eve", "eve@mail.example", ())


def test_a_letter_of_ours_that_comes_back_as_it_went_is_a_loop_and_nothing_else_is() -> None:
    ours = f"<{token(OURS.secret, UUID(int=7))}@example.org>"
    back = a_mail(Message_ID=ours)
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED, "a person has sent it"
    back.replace_header("From", "Privacy <PRIVACY@example.org>")
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.OURS
    back.replace_header("Message-ID", "<l@example.org>")
    assert read(back.as_bytes(), ARRIVED, OURS).kind is MailKind.PROPOSED, "our address alone is no loop"


def test_a_file_is_what_its_first_bytes_say() -> None:
    mail = a_mail()
    mail.add_attachment(b"%PDF-1.7\n%\xe2\xe3", maintype="image", subtype="png", filename="holiday.png")
    mail.add_attachment(b"x" * 101, maintype="text", subtype="plain", filename="long.txt")
    pdf, text = read(mail.as_bytes(), ARRIVED, OURS).attachments
    assert (pdf.name, pdf.kind) == ("holiday.png", "application/pdf")
    assert (text.kind, text.size) == ("text/plain", 101)


@pytest.mark.parametrize(
    ("text", "rights", "language"),
    [
        ("Please send me a copy of my data, and then delete my account.", ["access", "erasure"], "en"),
        ("Ich widerspreche der Werbung und bitte Sie um Löschung meiner Daten.", ["erasure", "objection"], "de"),
        ("Bonjour, je retire mon consentement. Merci et bonne journée à vous.", ["consent_withdrawal"], "fr"),
        ("Hola, quiero la portabilidad de mis datos por favor.", ["portability"], "es"),
        ("> Please delete my data\nIt works.", [], None),
        ("", [], None),
    ],
)
def test_rights_and_language_follow_the_policy_words(text: str, rights: list[str], language: str | None) -> None:
    proposal = propose(read(a_mail(text, "4711").as_bytes(), ARRIVED, OURS), mail_policy())
    assert [*proposal.rights] == [Right(each) for each in rights]
    assert proposal.language == language


def test_every_right_has_words_in_every_language() -> None:
    policy = mail_policy()
    assert set(policy.rights) == set(Right)
    assert all({*words} == {"en", "de", "fr", "es"} for words in (*policy.rights.values(), policy.languages))


def test_numbers_and_a_customer_number_are_found_as_they_are_written() -> None:
    mail = a_mail("My number is 0221 4710 190, or +44 20 7946 0958; customer C-4711.")
    proposal = propose(read(mail.as_bytes(), ARRIVED, OURS), mail_policy())
    assert proposal.account_id == "C-4711"
    assert "+442079460958" in proposal.phones


@pytest.mark.parametrize(
    "page", ["<head><title>x<p>Hello", "<html><head><meta><body>Hello", "<title>x</head><div>Hello</div>"]
)
def test_a_head_that_is_not_closed_hides_nothing(page: str) -> None:
    assert "Hello" in plain(page)


def test_foreign_html_is_read_as_text_alone() -> None:
    page = "<html><head><style>p{}</style></head><body><p>Hello <b>you</b></p><script>x()</script>&lt;i&gt;</body>"
    assert plain(page) == "Hello you\n<i>"
