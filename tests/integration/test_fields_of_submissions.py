"""Fields of a submission that do not go together: the API names the one to change and the words that it takes."""

from typing import Any

import pytest

from tests.fixtures.intake import Intake

PHONE = {"phones": [{"number": "+493012345678"}]}
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "no ground": ({"right": "restriction"}, "ground", "accuracy_contested or unlawful or needed_for_claims"),
    "no scope": ({"right": "objection"}, "scope", "direct_marketing or legitimate_interests"),
    "no changes": ({"right": "rectification"}, "changes", "needs at least one"),
    "no purpose": ({"right": "consent_withdrawal"}, "purposes", "needs at least one"),
    "another right": ({"right": "access", "packages_waived": True}, "packages_waived", "belong to an erasure"),
    "nowhere to answer": ({"right": "access", "channel": "email"}, "subject.email", "answer goes there"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_the_field_to_change_is_named_alone_and_in_a_batch(intake: Intake, wrong: str) -> None:
    fields, field, message = WRONG[wrong]
    body = {"subject": PHONE, **fields}
    for path, sent, place in (
        ("/v1/requests", body, ""),
        ("/v1/requests/batch", {"requests": [body]}, "requests.0."),
    ):
        answer = await intake.channel.post(path, json=sent)
        told, *_ = answer.json()["errors"]
        assert answer.status_code == 422
        assert told["field"] == place + field
        assert message in told["message"]


async def test_a_fault_that_several_rights_share_is_named_once(intake: Intake) -> None:
    body = {"rights": ["access", "portability"], "subject": PHONE, "channel": "email"}
    answer = await intake.channel.post("/v1/requests", json=body)
    assert answer.status_code == 422
    assert [fault["field"] for fault in answer.json()["errors"]] == ["subject.email"]
