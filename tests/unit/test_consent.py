"""What a withdrawal of consent comes to follows from the policy alone."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import JsonValue, ValidationError

from services.intake.submission_schemas import Submission
from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.policy import Withdrawal, read_policy, withdrawal
from shared.downstreams.downstream import Downstream
from shared.fulfilment.withdrawn import by_hand
from tests.fixtures.engine import ScriptedSystem
from tests.fixtures.policy import changed, signed_policy

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


def test_of_several_consents_to_marketing_one_stops_alone_and_all_of_it_stops_with_the_last(tmp_path: Path) -> None:
    purpose = 'marketing = { words = "telling you about our products and offers", direct_marketing = true,'
    offers = f'offers = {{ words = "offers of partners", direct_marketing = true, automation = "none" }}\n{purpose}'
    changed(tmp_path, purpose, offers, "categories.toml")
    category = '[categories.offers_sent]\nwords = "offers"\npurposes.offers = { basis = "consent" }\n'
    rest = 'provided_by = "person"\non_erasure = "delete"\nmeasures = ["encryption_at_rest"]\n'
    with (tmp_path / "categories.toml").open("a") as file:
        file.write(f"\n{category}{rest}")
    policy = read_policy(tmp_path)
    assert withdrawal(policy, ["offers"]) == Withdrawal(
        marketing=False, ends=frozenset({"offers_sent"}), concerns=NOTHING
    )
    assert withdrawal(policy, ["marketing"], before=["offers"]).marketing
    assert withdrawal(policy, ["marketing", "offers"]).marketing


def held(*categories: str, erases: bool = False) -> Downstream:
    system = ScriptedSystem("mailer")
    system.__dict__["erases_by_category"] = erases
    needs = frozenset({IdentityType.EMAIL})
    return Downstream("mailer", needs, adapter=system, categories=frozenset(categories))


def looked(system: Downstream, details: Mapping[str, JsonValue]) -> NotSupported | None:
    return by_hand(system, Operation.SUPPRESS, None, details)


def test_a_person_does_what_a_system_cannot_do_for_one_category_alone() -> None:
    ends: Mapping[str, JsonValue] = {"ends": ["newsletter"], "concerns": ["ticket"]}
    told = looked(held("newsletter", "account"), ends)
    assert isinstance(told, NotSupported)
    assert "newsletter" in str(told)
    assert looked(held("newsletter", erases=True), ends) is None
    assert "ticket" in str(looked(held("ticket", erases=True), ends))
    assert looked(held("account"), ends) is None


def test_nobody_has_to_do_anything_by_hand_before_the_person_is_located() -> None:
    ends: Mapping[str, JsonValue] = {"ends": ["newsletter"], "concerns": ["ticket"]}
    assert by_hand(held("newsletter", "ticket"), Operation.LOCATE, None, ends) is None


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "needs at least one"),
        ({"purposes": ["marketing", "marketing"]}, "name each once"),
        ({"right": "erasure", "purposes": ["marketing"]}, "belong to a withdrawal of consent"),
        ({"right": "erasure", "consent_text": "newsletter-4"}, "belongs to a withdrawal of consent"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(said: dict[str, object], told: str) -> None:
    asked = {"right": "consent_withdrawal", "subject": {"email": "ada@example.org"}, **said}
    with pytest.raises(ValidationError, match=told):
        Submission.model_validate(asked)
