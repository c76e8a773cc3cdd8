"""The tables of decisions: every field is one of its body, every name is one, and roles follow from them."""

from typing import get_args
from zoneinfo import ZoneInfo

import pytest

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
from services.intake.request_file import What
from services.intake.web.forms import Form
from services.intake.worklist import Waits
from shared.domain.release import Fault
from shared.domain.wording import LANGUAGES

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


@pytest.mark.parametrize(
    ("decision", "said", "told"),
    [
        (ASSESS, {"reasons": "So.", "concerned": "nobody"}, "write a reference as 019c0000-…"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_words_of_ours(
    decision: Decision, said: dict[str, str], told: str
) -> None:
    wrong = form.read(decision, Form({name: [value] for name, value in said.items()}), ZoneInfo("UTC"))
    assert isinstance(wrong, list)
    assert told in wrong[0].text


def test_every_decision_has_a_name_of_its_own() -> None:
    names = [each.name for each in DECISIONS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("role", [Role.AUDITOR])
def test_who_only_looks_is_refused_by_the_use_cases_too(role: Role) -> None:
    with pytest.raises(Forbidden):
        granted([role]).must(OfKey.SUBMIT)


def test_several_roles_add_up_and_none_has_all() -> None:
    assert powers([Role.AUDITOR, Role.ADMIN]) == ROLES[Role.AUDITOR] | ROLES[Role.ADMIN]
    assert all(powers([role]) < frozenset(Power) for role in Role)
    assert Power.APPROVE not in powers([Role.HANDLER])
