"""What only a team that is reached over the bus can do to us, and what it must never be told."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import orjson
import pytest
from opentelemetry.sdk.trace import TracerProvider

from shared.domain.errors import AnswerMalformed, BlastRadius, DoneBefore, Refused, ResidueFound, Unavailable
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome, Unsearched
from shared.domain.records import Message
from shared.downstreams.bus.messages import TaskRequested
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.contract import NotSearched, Pending, Receipt
from shared.messaging.producer import BusAway
from tests.contract.adapter_stands import Engine, erasure_of
from tests.contract.bus_stand import BusStand
from tests.contract.silent_team import Asked, Silent
from tests.fakes.bus_responder import Billing
from tests.fixtures.engine import SetClock

ADA = "ada@example.com"
KEPT: dict[str, Any] = {"found": 5, "changed": 3, "remaining": 2}


@pytest.fixture
async def asked(silent: Silent) -> Asked:
    asked = Asked(silent)
    await asked.again()
    return asked


@pytest.mark.parametrize("tenants", [True, False])
async def test_a_team_is_told_whose_data_a_task_is_about_if_it_tells_our_customers_apart(
    store: Billing, *, tenants: bool
) -> None:
    stand = Silent(store, SetClock(), BusSettings(tenants=tenants))
    tasks = [replace(erasure_of(stand, ADA), tenant=tenant) for tenant in ("acme", None)]
    await Engine(stand).once(tasks)
    said = [orjson.loads(message.value) for message in stand.published]
    assert [each.get("tenant", "unsaid") for each in said] == (["acme", None] if tenants else ["unsaid"] * 2)
    assert [TaskRequested.model_validate_json(message.value).tenant for message in stand.published] == (
        ["acme", None] if tenants else [None, None]
    )


async def test_nothing_on_the_bus_says_who_the_subject_is(stand: BusStand) -> None:
    stand.put(ADA, 1)
    await Engine(stand).erase([erasure_of(stand, ADA)])
    assert [message.topic for message in stand.published] == ["dsr.tasks.billing"] * 2
    everything = repr(stand.published).encode()
    for spelling in (ADA, quote(ADA), b64encode(ADA.encode()).decode().rstrip("=")):
        assert spelling.encode() not in everything


async def test_a_task_names_its_request_its_due_day_and_its_limit(stand: BusStand) -> None:
    task = erasure_of(stand, ADA)
    await Engine(stand).erase([task])
    [message] = stand.published
    said = TaskRequested.model_validate_json(message.value)
    assert (said.task_id, said.request_id, said.due_on) == (task.task_id, task.request_id, date(2026, 4, 2))
    assert (said.operation, said.max_rows) == (Operation.ERASE, 100_000)
    assert message.key == str(task.request_id).encode()
    assert message.headers["ce_type"] == "dsr.task.requested.v1"
    assert message.headers["ce_id"] == str(said.command_id)


async def test_a_task_continues_the_trace_of_the_call_that_sent_it(stand: BusStand) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("erase billing") as span:
        await stand.adapter.erase([erasure_of(stand, ADA)], Engine(stand).save_progress)
    trace_id = format(span.get_span_context().trace_id, "032x")
    assert stand.published[0].headers["traceparent"].split("-")[1] == trace_id


async def test_an_unanswered_task_is_sent_again_as_the_same_command_with_a_fresh_claim(silent: Silent) -> None:
    asked, pauses = Asked(silent), []
    for _ in range(4):
        result = await asked.again()
        assert isinstance(result, Pending)
        pauses.append(result.retry_in)
        silent.clock.at += result.retry_in
    assert pauses == [timedelta(seconds=seconds) for seconds in (5, 10, 15, 15)]
    said = [TaskRequested.model_validate_json(message.value) for message in silent.published]
    assert len({each.command_id for each in said}) == 1
    assert len({each.claim for each in said}) == 4


async def test_a_team_gives_a_repeated_command_the_same_reply_and_no_second_effect(stand: BusStand) -> None:
    stand.put(ADA, 3)
    await stand.adapter.erase([task := erasure_of(stand, ADA)], Engine(stand).save_progress)
    stand.put(ADA, 1)
    await stand.adapter.erase([task], Engine(stand).save_progress)
    first, second = stand.replies
    assert first == second
    assert stand.holds(ADA) == 1


async def test_a_team_that_finds_something_at_its_second_look_is_not_believed(asked: Asked) -> None:
    await asked.told(outcome="erased", found=3, changed=3)
    left = await asked.told(outcome="located", found=1, remaining=1)
    assert isinstance(left, ResidueFound)
    assert left.done_before == DoneBefore(found=4, changed=3, remaining=1, reported=True)
    await asked.again()
    await asked.told(outcome="erased", found=1, changed=1)
    erased = Receipt(asked.task.task_id, TaskOutcome.ERASED, found=3, changed=3)
    assert await asked.told(outcome="no_match") == erased
    assert len({message.headers["ce_id"] for message in asked.team.published}) == 4


@pytest.mark.parametrize("left", [2, 3])
async def test_what_a_team_must_keep_is_told_with_its_ground_and_its_day_and_more_than_that_is_residue(
    asked: Asked, left: int
) -> None:
    counts: dict[str, Any] = {**KEPT, "ground": "tax_law"}
    await asked.told(outcome="retained", until="2033-01-01", **counts)
    result = await asked.told(outcome="located", found=left, remaining=left)
    kept = Receipt(asked.task.task_id, TaskOutcome.RETAINED, until=date(2033, 1, 1), **counts)
    assert result == kept if left == 2 else isinstance(result, ResidueFound)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"outcome": "erased", "found": 200_000, "changed": 200_000}, "max_rows = 100,000"),
        (
            {"outcome": "retained", "found": 1, "remaining": 1, "ground": "tax_law", "until": "2020-01-01"},
            "a day that is over",
        ),
    ],
)
async def test_a_reply_that_cannot_be_true_is_for_a_person(asked: Asked, said: dict[str, Any], why: str) -> None:
    result = await asked.told(**said)
    assert isinstance(result, AnswerMalformed)
    assert why in str(result)


async def test_a_ground_that_nobody_has_agreed_with_the_team_is_neither_believed_nor_repeated(asked: Asked) -> None:
    await asked.told(outcome="retained", ground="ada_lovelace", **KEPT)
    result = await asked.told(outcome="located", found=2, remaining=2)
    assert isinstance(result, AnswerMalformed)
    assert "ada" not in str(result)


async def test_a_team_that_cannot_search_by_what_it_is_given_has_found_nothing_out(asked: Asked) -> None:
    result = await asked.told(outcome="not_searched", reason="number_without_period")
    assert result == NotSearched(asked.task.task_id, Unsearched.NUMBER_WITHOUT_PERIOD)


async def test_a_team_that_refuses_is_asked_anew_when_a_person_says_so(asked: Asked) -> None:
    result = await asked.told(outcome="refused", reason="unpaid_invoice")
    assert isinstance(result, Refused)
    assert str(result) == "billing refuses to erase: unpaid_invoice"
    assert isinstance(await asked.again(), Pending)
    assert asked.team.published[0].headers["ce_id"] != asked.team.published[-1].headers["ce_id"]


async def test_a_reason_that_nobody_has_agreed_with_the_team_is_not_repeated(asked: Asked) -> None:
    result = await asked.told(outcome="refused", reason="ada_lovelace")
    assert str(result) == "billing refuses to erase: ask the team why; its reasons do not list this one"


async def test_a_task_that_would_touch_too_many_rows_is_erased_by_nobody(store: Billing) -> None:
    stand = BusStand(store, SetClock(), BusSettings(max_rows=2))
    stand.put(ADA, 3)
    [result] = await Engine(stand).erase([erasure_of(stand, ADA)])
    assert isinstance(result, BlastRadius)
    assert result.exceeded == Exceeded(limit=Limit.MAX_ROWS, found=3, allowed=2)
    assert stand.holds(ADA) == 3


async def test_a_team_is_told_how_many_rows_two_persons_have_confirmed(store: Billing) -> None:
    stand = BusStand(store, SetClock(), BusSettings(max_rows=2))
    stand.put(ADA, 3)
    engine, task = Engine(stand), erasure_of(stand, ADA)
    await engine.erase([task])
    [result] = await engine.erase([replace(task, confirmed={Limit.MAX_ROWS: 3})])
    assert isinstance(result, Receipt)
    assert stand.holds(ADA) == 0


async def test_a_team_that_does_not_say_how_many_leaves_nothing_to_confirm(asked: Asked) -> None:
    result = await asked.told(outcome="refused", reason="blast_radius")
    assert isinstance(result, BlastRadius)
    assert result.exceeded is None


async def test_a_reply_to_another_command_is_no_answer(asked: Asked) -> None:
    assert isinstance(await asked.told(outcome="no_match", command_id=str(uuid4())), Pending)


async def test_a_bus_that_is_away_delays_what_would_be_sent_and_nothing_else(stand: BusStand) -> None:
    engine, done, new = Engine(stand), erasure_of(stand, ADA), erasure_of(stand, "ben@example.com")
    await engine.erase([done])

    async def away(messages: Sequence[Message]) -> None:
        raise BusAway(f"{len(messages)} not taken")

    stand.publish = away  # type: ignore[method-assign]
    stand.__post_init__()
    first, second = await engine.once([done, new])
    assert first == Receipt(done.task_id, TaskOutcome.NO_MATCH)
    assert isinstance(second, Unavailable)
