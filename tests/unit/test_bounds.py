"""What a receipt may say: the rest goes into no evidence and into nobody's search."""

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from shared.domain.errors import AnswerMalformed, Refused
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import TaskOutcome
from shared.downstreams.bounds import believable
from shared.downstreams.bus.messages import MalformedReply, parse_reply
from shared.downstreams.contract import Receipt

ERASED = Receipt(UUID(int=1), TaskOutcome.ERASED, found=2, changed=2, by_category={"call_record": 2})
REPLY = (
    '{"type": "dsr.task.replied.v1", "command_id": "%s", "task_id": "%s", "operation": "erase", "outcome": "retained",'
    ' "ground": "tax_law", "found": %s, "changed": %s, "remaining": %s, "until": "%s"}'
)
PHONE = IdentityType.PHONE
BEYOND = [
    {"found": -1},
    {"found": 10**9 + 1},
    {"changed": 2**64},
    {"remaining": 1.5},
    {"found": True},
    {"by_category": {"call": 2**64}},
    {"by_category": {"ada@example.com": 2}},
    {"by_category": {"../../x": 2}},
    {"by_category": {"a\0": 2}},
    {"by_category": {"c" * 65: 2}},
    {"by_category": {"": 2}},
    {"by_category": {"Ada Lovelace": 2}},
    {"ground": "because Ada said so"},
    {"reference": "7\0"},
    {"reference": "ada@example.com"},
    {"reference": "9" * 201},
    {"until": date(1899, 12, 31)},
    {"until": date.max},
    {"identities": (Identity(IdentityType.EMAIL, "a\0@example.com"),)},
    {"identities": (Identity(PHONE, ""),)},
    {"identities": (Identity(PHONE, "5" * 501),)},
]


@pytest.mark.parametrize("beyond", BEYOND, ids=str)
def test_a_receipt_that_cannot_be_is_refused_and_quotes_nothing(beyond: dict[str, Any]) -> None:
    result = believable(replace(ERASED, **beyond), "billing:erase")
    assert isinstance(result, AnswerMalformed)
    assert str(result).startswith("billing:erase answers with a")
    assert "Ada" not in str(result)
    assert "@" not in str(result)


def test_up_to_the_bounds_it_is_believed() -> None:
    most = replace(ERASED, found=10**9, changed=10**9, by_category={"c" * 64: 10**9}, until=date(2100, 12, 31))
    for result in (ERASED, most, Refused("no")):
        assert believable(result, "billing") is result


AGES = [
    (datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), None),
    (None, datetime(2100, 12, 31, tzinfo=UTC), None, datetime(2100, 12, 31, tzinfo=UTC)),
    (datetime(1900, 1, 1, tzinfo=UTC), None, datetime(1900, 1, 1, tzinfo=UTC), None),
    (None, None, None, None),
]


@pytest.mark.parametrize(("since", "until", "begins", "ends"), AGES)
def test_a_period_of_another_age_is_one_without_that_end(
    since: datetime | None, until: datetime | None, begins: datetime | None, ends: datetime | None
) -> None:
    located = replace(ERASED, identities=(Identity(PHONE, "+34688886392", since, until),))
    result = believable(located, "crm")
    assert isinstance(result, Receipt)
    assert [(each.valid_from, each.valid_to) for each in result.identities] == [(begins, ends)]


def reply(found: object = 3, changed: object = 1, remaining: object = 2, until: str = "2030-01-01") -> bytes:
    return (REPLY % (UUID(int=2), UUID(int=1), found, changed, remaining, until)).encode()


@pytest.mark.parametrize(
    ("beyond", "field"),
    [
        (reply(found=2**64), "found"),
        (reply(found=10**9 + 1), "found"),
        (reply(changed="1e400"), "changed"),
        (reply(remaining=10**400), "remaining"),
        (reply(until="9999-12-31"), "until"),
        (reply(until="2101-01-01"), "until"),
        (reply(until="1899-12-31"), "until"),
    ],
)
def test_a_reply_with_a_count_or_a_day_beyond_all_is_no_reply(beyond: bytes, field: str) -> None:
    with pytest.raises(MalformedReply, match=field):
        parse_reply(beyond)


def test_a_reply_up_to_the_bounds_is_one() -> None:
    assert parse_reply(reply(10**9, 10**9 - 1, 1, "2100-12-31")).until == date(2100, 12, 31)
