"""A task that waits says why, once; and an answer that can never be read is no outage."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import AnswerMalformed, AnswerUnreadable, Unavailable
from shared.downstreams.contract import Pending
from shared.fulfilment import postponing
from shared.fulfilment.queue import Claim

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
IDS: Any = (uuid7(), uuid7(), 1, {}, None, date(2026, 4, 2), uuid7(), uuid7())
SAID: Any = ("access", True, {}, None, 0, 0, {}, "export")
CLAIM = Claim(*IDS, *SAID)


def test_a_busy_system_is_on_record_with_its_time_and_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    waits = postponing.pending(CLAIM, "shop", Pending(CLAIM.task_id, timedelta(minutes=15), busy=True), NOW)
    assert postponing.on_record(waits) == {"reason": "busy", "until": "2026-03-02T09:15:00+00:00"}
    still = replace(waits, claim=replace(CLAIM, failure="busy", attempt=2))
    assert postponing.on_record(still) is None
    postponing.tell("shop", "export", [waits, waits, still])
    [said] = caplog.messages
    assert (
        said
        == "export in shop: 2 task(s) wait: shop says that it is busy, and is left alone until 2026-03-02 09:15:00 UTC"
    )


def test_work_that_a_system_has_in_hand_is_nothing_to_speak_of() -> None:
    assert postponing.on_record(postponing.pending(CLAIM, "shop", Pending(CLAIM.task_id, timedelta(1)), NOW)) is None


def test_a_system_that_is_away_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    waits = postponing.unavailable(CLAIM, Unavailable("shop could not be reached: ConnectError"), NOW)
    postponing.tell("shop", "erase", [waits])
    assert caplog.messages == ["erase in shop: 1 task(s) wait: shop could not be reached: ConnectError"]


@pytest.mark.parametrize(
    ("failure", "attempt", "last", "malformed"),
    [
        (AnswerUnreadable("shop answered with something that is not JSON"), 12, "answer_unreadable", True),
        (AnswerUnreadable("shop answered with something that is not JSON"), 11, "answer_unreadable", False),
        (AnswerUnreadable("shop answered with something that is not JSON"), 50, "unavailable", False),
        (Unavailable("shop could not be reached"), 50, "unavailable", False),
    ],
)
def test_what_can_never_be_read_is_a_persons_matter(
    *, failure: Unavailable, attempt: int, last: str, malformed: bool
) -> None:
    found = postponing.malformed(replace(CLAIM, attempt=attempt, failure=last), failure)
    assert isinstance(found, AnswerMalformed) is malformed
