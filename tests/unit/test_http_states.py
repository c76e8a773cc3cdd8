"""In which state of a record of an interface something must stay, and what a record says that says neither."""

from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.errors import GroundUnknown
from shared.downstreams.http.refusing import Refusal, refusal, states, told
from shared.downstreams.refusals import ErasureRefused

ACTIVE: dict[str, Any] = {"path": "state", "in": ["active"], "reason": "active_contract"}
BOTH = ACTIVE | {"over": ["ended"]}
TICKET: dict[str, Any] = {"path": "state", "equals": "open", "reason": "open_ticket"}


@pytest.mark.parametrize(
    ("declared", "record", "lasts"),
    [
        (ACTIVE, {"state": "active"}, True),
        (ACTIVE, {"state": "paused"}, False),
        (ACTIVE, {"state": None}, None),
        (ACTIVE, {}, None),
        (BOTH, {"state": "active"}, True),
        (BOTH, {"state": "ended"}, False),
        (BOTH, {"state": "paused"}, None),
        (TICKET, {"state": None}, False),
        (TICKET | {"over": ["done"]}, {"state": "odd"}, None),
        ({"path": "ended_on", "absent": True, "reason": "active_contract"}, {}, True),
        ({"path": "ended_on", "absent": True, "reason": "active_contract"}, {"ended_on": "2026-01-01"}, False),
    ],
)
def test_a_record_says_that_a_state_lasts_that_it_does_not_or_neither(
    declared: dict[str, Any], record: dict[str, Any], *, lasts: bool | None
) -> None:
    assert Refusal.model_validate(declared).lasts(record) is lasts


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"over": ["active"]}, "write each once"),
        ({"in": None, "over": ["ended"]}, "write those that say so as in or equals"),
        ({"path": None, "in": None, "status": 200}, "give the path of what a record says"),
    ],
)
def test_what_cannot_be_compared_both_ways_is_refused(more: dict[str, Any], says: str) -> None:
    declared = {key: value for key, value in (ACTIVE | more).items() if value is not None}
    with pytest.raises(ValidationError, match=says):
        Refusal.model_validate(declared)


@pytest.mark.parametrize(
    ("found", "told_of", "ruled", "unruled"),
    [
        ([], False, None, None),
        (["ended"], False, None, None),
        (["ended", "active"], True, None, ErasureRefused),
        (["ended", None], None, GroundUnknown, GroundUnknown),
        (["active", None], True, GroundUnknown, ErasureRefused),
    ],
)
def test_what_lasts_by_the_policy_is_told_and_what_is_not_known_is_a_persons(
    found: list[str | None], *, told_of: bool | None, ruled: type | None, unruled: type | None
) -> None:
    declared = [Refusal.model_validate(BOTH)]
    said = told(("deal", {"state": each}, declared) for each in found)
    assert states(declared, said) == {"contract_active": told_of}
    assert type(refusal("crm", said, lambda kind, word: (kind, word) == ("deal", "contract_active"))) is (
        ruled or type(None)
    )
    assert type(refusal("crm", said, lambda *_: False)) is (unruled or type(None))


def test_a_reason_of_which_the_policy_knows_nothing_refuses_before_anything_goes_anywhere() -> None:
    declared = [Refusal.model_validate(TICKET)]
    said = told([("ticket", {"state": "open"}, declared)])
    assert isinstance(refusal("desk", said, lambda *_: True), ErasureRefused)
    assert states(declared, said) is None
