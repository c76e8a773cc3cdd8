"""What no event of an emitter could use is refused when its identities are posted, and not set aside later."""

from typing import Any

import pytest

from services.intake.grant import Grant
from shared.domain.rights import Right
from tests.fixtures.intake import Intake
from tests.fixtures.user_events import PROVED, emitting

ADA = {"email": "ada@example.org", "account_id": "C7"}
NUMBER = {"account_id": "C7", "phones": [{"number": "+442079460000"}]}
CHANGE = {"field": "email", "asserted": "ada@example.com"}


@pytest.mark.parametrize(
    ("said", "status", "field"),
    [
        ({"subject": {"name": "Ada"}}, 422, "subject"),
        ({"subject": {"email": "ada"}}, 422, "subject.email"),
        ({"subject": ADA, "assurance": {"level": "L2", "method": "guess"}}, 400, "assurance.method"),
        ({"subject": ADA, "right": "access"}, 422, "right"),
        ({"subject": ADA, "changes": [CHANGE]}, 400, "changes"),
    ],
)
async def test_identities_that_no_event_could_use_are_refused_when_they_are_posted(
    intake: Intake, database: str, said: dict[str, object], status: int, field: str
) -> None:
    selfcare = await emitting(intake, database, rights=frozenset({Right.ACCESS, Right.ERASURE}))
    answer = await selfcare.ask("/v1/subjects", said)
    assert answer.status_code == status
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_identities_that_no_event_of_their_emitter_is_about_are_refused_when_they_are_posted(
    intake: Intake, database: str
) -> None:
    numbering = await emitting(intake, database, "numbering")
    assert (await numbering.ask("/v1/subjects", {"subject": NUMBER})).status_code == 201
    refused = [await numbering.ask("/v1/subjects", {"subject": subject}) for subject in (ADA, {"account_id": "C7"})]
    assert [answer.status_code for answer in refused] == [400, 400]
    assert "number.assigned: post account_id, and nothing else" in refused[0].json()["detail"]
    assert (await numbering.ask("/v1/subjects", {"subject": NUMBER, **PROVED})).status_code == 403


@pytest.mark.parametrize(
    ("bounds", "declared", "says"),
    [
        (Grant("L3", tenant="acme"), {}, "is not of the tenant of this emitter"),
        (Grant("L3"), {"level": "L1"}, "may not state L2: it may state L1 at most"),
        (
            Grant("L3", rights=frozenset({Right.ACCESS})),
            {"types": ("user.requested",), "rights": frozenset({Right.ERASURE})},
            "this key may not ask for erasure",
        ),
    ],
)
async def test_what_the_emitters_events_could_not_state_or_ask_for_is_refused_when_it_is_posted(
    intake: Intake, database: str, bounds: Grant, declared: dict[str, Any], says: str
) -> None:
    selfcare = await emitting(intake, database, bounds=bounds, **declared)
    answer = await selfcare.ask("/v1/subjects", {"subject": ADA, **PROVED})
    assert answer.status_code == 403
    assert says in answer.json()["detail"]


async def test_who_is_no_emitter_posts_identities_for_no_event(intake: Intake, database: str) -> None:
    selfcare = await emitting(intake, database)
    selfcare.intake.emitters.clear()
    answer = await selfcare.ask("/v1/subjects", {"subject": ADA})
    assert (answer.status_code, answer.json()["detail"].partition(":")[0]) == (
        403,
        "the holder of this key is no emitter",
    )
