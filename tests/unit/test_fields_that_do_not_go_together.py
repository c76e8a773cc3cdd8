"""Fields of a submission that do not go together: the answer names the one to change, and the words that it takes."""

from typing import Any

import orjson
import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.requests import Request

from services.intake.problems import respond
from services.intake.submission_schemas import Batch, Submission

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
async def test_the_field_to_change_is_named_alone_and_in_a_batch(wrong: str) -> None:
    fields, field, message = WRONG[wrong]
    body = {"subject": PHONE, **fields}
    for kind, sent, place in ((Submission, body, ""), (Batch, {"requests": [body]}, "requests.0.")):
        with pytest.raises(ValidationError) as refused:
            kind.model_validate_json(orjson.dumps(sent))
        faults = [{**each, "loc": ("body", *each["loc"])} for each in refused.value.errors()]
        answer = await respond(Request({"type": "http"}), RequestValidationError(faults))
        told, *_ = orjson.loads(bytes(answer.body))["errors"]
        assert told["field"] == place + field
        assert message in told["message"]
