"""What can be decided is read from the API's document, and what somebody typed becomes the body of a decision."""

import re
from typing import Any

import pytest

from services.intake.api import app
from services.intake.client.decisions import Decision, DecisionUnclear, Typed, body, decisions, named

DOCUMENT = app.describe().openapi()
KNOWN = decisions(DOCUMENT)


def test_every_decision_of_the_api_can_be_typed() -> None:
    of_requests = re.compile(r"/v1/requests/\{request_id\}/(.+)")
    routes = {
        found[1] for path, each in DOCUMENT["paths"].items() if "post" in each and (found := of_requests.match(path))
    }
    assert {each.path for each in KNOWN.values()} == routes
    assert {"retry", "begin", "refuse", "answer_in_part", "end_part"} <= {*KNOWN}, "told apart by a word of the body"
    assert "decision" not in KNOWN
    assert all(each.says for each in KNOWN.values())


def test_two_bodies_of_the_api_never_share_a_name_in_its_document() -> None:
    assert {"system", "found", "changed", "note"} == {*KNOWN["task-result"].fields}
    assert {"command_id", "records"} == {*DOCUMENT["components"]["schemas"]["TaskResult"]["properties"]}


@pytest.mark.parametrize(
    ("name", "typed", "sent"),
    [
        ("withdraw", {}, None),
        ("retry", {}, {"decision": "retry"}),
        (
            "refuse",
            {"reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
            {"decision": "refuse", "reason": "EXCESSIVE", "article": "12(5)(b)", "explanation": "123"},
        ),
        (
            "task-result",
            {"system": "crm", "found": "3", "changed": "0", "note": "null"},
            {"system": "crm", "found": 3, "changed": 0, "note": "null"},
        ),
        ("forward", {"controller": "Acme", "may_be_named": "true"}, {"controller": "Acme", "may_be_named": True}),
        (
            "postal-address",
            {"lines": "Ada, 1 High St", "on_file_in": "crm"},
            {"lines": ["Ada", "1 High St"], "on_file_in": "crm"},
        ),
        ("postal-address", {"lines": '["a, b"]', "on_file_in": "crm"}, {"lines": ["a, b"], "on_file_in": "crm"}),
        ("recipients/waiver/approval", {"recipient": "mailer"}, {"recipient": "mailer"}),
    ],
)
def test_what_is_typed_is_sent_as_text_where_the_api_takes_text_and_else_as_json(
    name: str, typed: dict[str, str], sent: dict[str, Any] | None
) -> None:
    assert body(named(KNOWN, name), Typed(typed)) == sent


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("refuse", {"reason": "X"}, "refuse needs article (of the GDPR, by which the reason holds), explanation"),
        ("withdraw", {"why": "so"}, "withdraw has no field why: it takes none"),
        ("retry", {"decision": "begin"}, "retry has no field decision: it takes none"),
        ("task-result", {"system": "a", "found": "x", "changed": "0"}, "found is no text: write it as JSON (integer)"),
    ],
)
def test_what_is_typed_wrong_is_said_with_what_to_type(name: str, typed: dict[str, str], said: str) -> None:
    with pytest.raises(DecisionUnclear, match=re.escape(said)):
        body(KNOWN[name], Typed(typed))


def test_a_decision_that_is_none_is_answered_with_the_nearest_or_with_all() -> None:
    with pytest.raises(DecisionUnclear, match=r"there is no decision withdrawn: did you mean withdraw\?"):
        named(KNOWN, "withdrawn")
    with pytest.raises(DecisionUnclear, match="there are one"):
        named({"one": Decision("one", "one", "")}, "zzz")
