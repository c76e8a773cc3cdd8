"""The portal's next question, its forms, and its outlook."""

from dataclasses import replace
from datetime import date
from typing import Any, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from services.console import form, queue, roles
from services.console.form import LANGUAGES as OFFERED
from services.console.roles import ROLES, Role, StaffPower, granted, powers
from services.intake.access.grant import Power as OfKey
from services.intake.actions.identity import WHY
from services.intake.actions.registry import ACTIONS
from services.intake.core.errors import Forbidden
from services.intake.identity.stopped import Why
from services.intake.incidents.incident import RiskDecided
from services.intake.request.lifecycle import State
from services.intake.request.reports import coverage
from services.intake.request.stored_request import Waits
from services.portal import draft as drafts
from services.portal.draft import PortalSignIn, RequestDraft
from services.portal.follow import found_where, may_sign_in, may_withdraw, next_steps
from services.portal.settings import PortalSettings
from services.web.forms import Form
from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.languages import LANGUAGES
from shared.domain.operations import Operation, TaskReport, Unsearched
from shared.domain.release import ReleaseFault
from shared.domain.rights import Outcome, Right
from tests.fixtures.requests import a_request, open_question
from tests.fixtures.words import words

FULL = RequestDraft(key="k", right=Right.ACCESS, whom="me", email="Ada@Example.org", details=True)
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
        RequestDraft.begun(),
        RequestDraft(key="k", right=Right.ACCESS),
        RequestDraft(key="k", right=Right.RESTRICTION),
        FULL.with_(email=""),
        FULL.with_(details=False),
        FULL,
    ]
    assert [each.next for each in steps] == ["right", "whom", "detail", "contact", "details", "check"]


def test_a_session_of_the_customer_portal_proves_its_account_and_its_own_address_alone() -> None:
    for email, proved in (("ada@example.org", ["account_id", "email"]), ("eve@example.org", ["account_id"])):
        who = PortalSignIn(account_id="CU-17", email=email, method="signed_in_mfa")
        submission = FULL.with_(account="another person's").submission("de", who, ZONES)
        assert [each.identity for each in submission.proofs] == proved
        assert submission.subject.account_id == "CU-17", "what they type is not what they have shown"


def test_unproved_identities_are_submitted_without_proof() -> None:
    submission = FULL.with_(account="CU-17", numbers=(drafts.Number(number="+4930901820", since="2021-03-31"),))
    stated = submission.submission("de", None, ZONES)
    assert stated.proofs == ()
    (number,) = [each for each in stated.subject.identities() if each.type is IdentityType.PHONE]
    assert (number.value, str(number.valid_from)) == ("+4930901820", "2021-03-30 22:00:00+00:00")


@pytest.mark.parametrize("purposes", [[], ["marketing", "made_up"]])
def test_unknown_consent_is_not_withdrawn(purposes: list[str]) -> None:
    _, faults = drafts.read_detail(Right.CONSENT_WITHDRAWAL, Form({"purposes": purposes}), frozenset({"marketing"}))
    assert [field for field, _ in faults] == ["purposes"]


@pytest.mark.parametrize("state", list(State))
def test_open_request_shows_its_next_step(state: State) -> None:
    request = a_request(state=state)
    answered = state is State.CLOSED
    assert bool(next_steps(request)) is not answered
    assert may_withdraw(request) is request.allows("withdraw")


def test_next_step_asks_for_more_proof() -> None:
    waits = a_request(state=State.AWAITING_IDENTITY)
    assert [each.key for each in next_steps(waits)] == ["portal_next.proof"]
    assert [each.key for each in next_steps(replace(waits, tasks=(UNPROVED,)))] == ["portal_next.more_proof"]
    closed = a_request(state=State.CLOSED, outcome=Outcome.UNIDENTIFIED, resumable=True)
    assert [each.key for each in next_steps(closed)] == ["portal_next.resumable"]


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.AWAITING_CLARIFICATION])
def test_open_question_is_the_next_step(state: State) -> None:
    asked = a_request(state=state, question=open_question(uuid7()))
    [said] = [each.key for each in next_steps(asked)]
    assert said in {"portal_next.question", "portal_next.question_at_work"}


@pytest.mark.parametrize("state", [State.AWAITING_IDENTITY, State.AWAITING_DECISION, State.CLOSED])
def test_second_factor_is_asked_for_after_a_code(state: State) -> None:
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


def test_each_searched_category_is_listed_once() -> None:
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
def test_accepted_answers_make_a_valid_submission(said: dict[str, str]) -> None:
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


def test_sign_in_changes_the_mark_of_the_check_page() -> None:
    who = PortalSignIn(account_id="CU-17", method="account")
    assert len({FULL.mark(None), FULL.mark(who), FULL.mark(who.model_copy(update={"account_id": "CU-18"}))}) == 3


def test_each_reason_for_a_blocked_proof_has_words() -> None:
    assert WHY.keys() == set(get_args(Why))


def test_each_code_has_words() -> None:
    assert {*queue.WAITS} == {*Waits}
    assert {*roles.WORDS} == {*StaffPower}
    assert {*OFFERED} == {*LANGUAGES}
    assert all(fault.sentence for fault in ReleaseFault)


def test_wrong_field_is_explained_in_our_words() -> None:
    asks = form.fields_of(RiskDecided.model_json_schema(), {})
    said = {"risk": ["high"], "reasons": ["So."], "concerned": ["no one"]}
    body, wrong = form.read(RiskDecided, asks, Form(said), ZoneInfo("UTC"))
    assert body is None
    assert "write an ID such as 019c0000-…" in wrong[0].text


def test_every_decision_has_a_name_of_its_own() -> None:
    names = [each.name for each in ACTIONS]
    assert len(set(names)) == len(names)


def test_use_cases_refuse_an_auditor() -> None:
    with pytest.raises(Forbidden):
        granted([Role.AUDITOR]).must(OfKey.SUBMIT)


def test_several_roles_add_up_and_none_has_all() -> None:
    assert powers([Role.AUDITOR, Role.ADMIN]) == ROLES[Role.AUDITOR] | ROLES[Role.ADMIN]
    assert all(powers([role]) < frozenset(StaffPower) for role in Role)
    assert StaffPower.APPROVE not in powers([Role.HANDLER])
