"""The effects of a withdrawal of consent follow from the policy alone."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue, ValidationError
from uuid_utils.compat import uuid7

from services.intake.request.aggregate import Request
from services.intake.request.disclosed import CompletedChange, Disclosed, DisclosedExtent, DisclosedOfAll, recipients
from services.intake.request.lifecycle import State
from services.intake.submission.schemas import Submission
from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.policy import Withdrawal, read_policy, withdrawal
from shared.domain.rights import Outcome, Right
from shared.systems.downstream import Downstream
from shared.systems.engine.searching import manual_reason
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import changed, signed_policy
from tests.fixtures.requests import AT, a_request

MARKETING = frozenset({"marketing", "newsletter", "subscription"})
NOTHING: frozenset[str] = frozenset()


def test_marketing_stops_and_what_was_kept_for_it_alone_ends() -> None:
    assert withdrawal(signed_policy(), ["marketing"]) == Withdrawal(marketing=True, ends=MARKETING, concerns=NOTHING)


def test_consent_to_something_else_leaves_marketing_as_it_is() -> None:
    analytics = frozenset({"analytics", "analytics_event"})
    assert withdrawal(signed_policy(), ["analytics"]) == Withdrawal(marketing=False, ends=analytics, concerns=NOTHING)


def test_what_is_held_on_another_basis_too_stays_as_soon_as_the_policy_says_so(tmp_path: Path) -> None:
    more = 'purposes.marketing = { basis = "consent" }\npurposes.quality = { basis = "legitimate_interests" }'
    changed(tmp_path, 'purposes.marketing = { basis = "consent" }', more, "categories.toml")
    follows = withdrawal(read_policy(tmp_path), ["marketing"])
    assert follows == Withdrawal(marketing=True, ends=NOTHING, concerns=MARKETING)


def test_what_is_kept_by_two_consents_ends_with_the_second(tmp_path: Path) -> None:
    more = 'purposes.marketing = { basis = "consent" }\npurposes.analytics = { basis = "consent" }'
    changed(tmp_path, 'purposes.marketing = { basis = "consent" }', more, "categories.toml")
    policy = read_policy(tmp_path)
    assert withdrawal(policy, ["marketing"]).ends == NOTHING
    assert withdrawal(policy, ["marketing", "analytics"]).ends >= MARKETING
    later = withdrawal(policy, ["marketing"], before=["analytics"])
    assert (later.ends, later.concerns) == (MARKETING, NOTHING), "whenever that is, and what has ended ends no more"


def held(*categories: str, erases: bool = False) -> Downstream:
    system = ScriptedSystem("mailer")
    system.erases_by_category = erases
    needs = frozenset({IdentityType.EMAIL})
    return Downstream("mailer", needs, adapter=system, categories=frozenset(categories))


def looked(system: Downstream, details: Mapping[str, JsonValue]) -> NotSupported | None:
    return manual_reason(system, Operation.SUPPRESS, None, details)


def test_a_person_does_what_a_system_cannot_do_for_one_category_alone() -> None:
    ends: Mapping[str, JsonValue] = {"ends": ["newsletter"], "concerns": ["ticket"]}
    manual = looked(held("newsletter", "account"), ends)
    assert isinstance(manual, NotSupported)
    assert "newsletter" in str(manual)
    assert looked(held("newsletter", erases=True), ends) is None
    assert "ticket" in str(looked(held("ticket", erases=True), ends))
    assert looked(held("account"), ends) is None


def test_no_manual_work_before_the_person_is_located() -> None:
    ends: Mapping[str, JsonValue] = {"ends": ["newsletter"], "concerns": ["ticket"]}
    assert manual_reason(held("newsletter", "ticket"), Operation.LOCATE, None, ends) is None


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({}, "needs at least one"),
        ({"purposes": ["marketing", "marketing"]}, "name each once"),
        ({"right": "erasure", "purposes": ["marketing"]}, "belong to a withdrawal of consent"),
        ({"right": "erasure", "consent_text": "newsletter-4"}, "belongs to a withdrawal of consent"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(said: dict[str, object], says: str) -> None:
    asked = {"right": "consent_withdrawal", "subject": {"email": "ada@example.org"}, **said}
    with pytest.raises(ValidationError, match=says):
        Submission.model_validate(asked)


# Recipients are notified by what was done, the data concerned, and the policy.
POLICY = signed_policy()
HELD = sorted({held for category in POLICY.categories.values() for held in category.held_as})
MARKETING_DISCLOSED = frozenset({"marketing"})


def report(operation: str, changed: int = 2, **by_category: int) -> TaskReport:
    known = {"task_id": uuid7(), "system": "crm", "operation": operation, "outcome": TaskOutcome.AMENDED}
    return TaskReport.model_validate({**known, "found": 2, "changed": changed, "by_category": by_category})


def stated(rows: int) -> TaskReport:
    return report("rectify", changed=0, call=rows).model_copy(update={"stated": True, "corrected": (rows,)})


def answered(right: Right, *tasks: TaskReport, outcome: Outcome = Outcome.FULFILLED, **said: Any) -> Request:
    return a_request(State.CLOSED, right=right, outcome=outcome, tasks=tasks, **said)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (answered(Right.ERASURE, report("erase", call=2)), CompletedChange("erased", frozenset({"call_record"}))),
        (answered(Right.ERASURE, report("erase")), CompletedChange("erased", frozenset(POLICY.categories))),
        (answered(Right.ERASURE, report("erase", changed=0, call=0)), None),
        (answered(Right.ERASURE, report("erase", call=2), outcome=Outcome.WITHDRAWN), None),
        (answered(Right.ERASURE, report("erase", call=2), tenant="acme", instruction_id="1"), None),
        (answered(Right.ACCESS, report("export", call=2)), None),
        (
            answered(Right.RECTIFICATION, report("restrict", contact=1), report("rectify", contact=1)),
            CompletedChange("corrected", frozenset({"account"})),
        ),
        (answered(Right.RECTIFICATION, stated(1)), CompletedChange("stated", frozenset({"call_record"}))),
        (answered(Right.RECTIFICATION, stated(0)), None),
        (
            answered(Right.RESTRICTION, report("restrict", call=1)),
            CompletedChange("restricted", frozenset({"call_record"})),
        ),
        (
            answered(Right.RESTRICTION, report("restrict", call=1), lifted_at=AT),
            CompletedChange("lifted", frozenset({"call_record"})),
        ),
        (answered(Right.OBJECTION, scope="direct_marketing"), CompletedChange("stopped", MARKETING_DISCLOSED)),
        (
            answered(Right.CONSENT_WITHDRAWAL, purposes=("analytics",)),
            CompletedChange("stopped", frozenset({"analytics"})),
        ),
        (
            answered(Right.OBJECTION, report("restrict", call=1), scope="legitimate_interests"),
            CompletedChange("restricted", frozenset({"call_record"})),
        ),
    ],
)
def test_notice_names_what_was_done_and_the_data(request_: Request, expected: CompletedChange | None) -> None:
    assert Disclosed(request_, POLICY).done == expected


def test_notice_is_computed_again_for_another_request() -> None:
    every, before = DisclosedOfAll(POLICY), answered(Right.ERASURE, report("erase", call=2))
    after = replace(before, tasks=(*(before.tasks or ()), report("erase", contact=2)))
    assert every.of(before).done is every.of(before).done  # computed once
    for request in (before, after, before):
        disclosed, known = every.of(request), Disclosed(request, POLICY)
        assert (disclosed.done, disclosed.extents) == (known.done, known.extents)
    assert every.of(before).done != every.of(after).done


def kept(category: str, count: int) -> dict[str, object]:
    return {"category": category, "rule": "calls_us_18m", "count": count}


@given(st.dictionaries(st.sampled_from(HELD), st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_recipients_of_the_erased_data_are_notified(rows: dict[str, tuple[int, int]]) -> None:
    went = {category for category, (gone, _) in rows.items() if gone}
    found = {category: gone + left for category, (gone, left) in rows.items()}
    left = [kept(category, each) for category, (_, each) in rows.items() if each]
    task = report("erase", sum(gone for gone, _ in rows.values()), **found)
    task = TaskReport.model_validate({**task.model_dump(), "kept": left})
    said = Disclosed(answered(Right.ERASURE, task), POLICY).done
    assert (said.categories if said else frozenset()) == frozenset(map(POLICY.category_of, went))


def test_recipients_of_held_data_are_notified_of_the_restriction_only() -> None:
    for shown, says in ((1, {"marketing"}), (0, set()), (None, set())):
        left = [{"category": "newsletter", "rule": "legal_hold", "count": 1, "restricted": shown}]
        task = report("erase", changed=0, newsletter=1)
        task = TaskReport.model_validate({**task.model_dump(), "kept": left})
        request = answered(Right.ERASURE, task, outcome=Outcome.PARTIALLY_FULFILLED)
        disclosed = Disclosed(request, POLICY)
        assert disclosed.extents.keys() == says
        assert disclosed.done == (CompletedChange("erased", MARKETING_DISCLOSED) if says else None)
        assert all(each == DisclosedExtent(gone=False, kept=True, held=True) for each in disclosed.extents.values())


def test_only_recipients_of_such_data_are_notified() -> None:
    assert recipients(POLICY, MARKETING_DISCLOSED).keys() == {"mailer"}
    assert recipients(POLICY, {"call_record", "account"}).keys() == {"carrier", "collector"}
    assert recipients(POLICY, {"ticket"}) == {}
