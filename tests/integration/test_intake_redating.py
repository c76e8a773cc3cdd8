"""A corrected receipt, a changed policy and a request that is not ours to answer, at the API and on the bus."""

import json

import pytest

from services.intake.redating import redate
from shared.domain.time_limit import calc_version
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import PROOF, PROPOSAL, Intake
from tests.fixtures.requests import POLICY, promising

FOUND = {"received_at": "2026-02-20T09:00:00+01:00", "reason": PROPOSAL["explanation"]}  # entered on 2 March
THEIRS = {"role": "processor", "assurance": None}
CUSTOMER = "Harbour Cranes Ltd"


async def test_a_corrected_receipt_moves_the_due_date_and_both_are_on_record(intake: Intake) -> None:
    path = await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET warning = 'due_in_3_days'")
    corrected = await intake.officer.post(f"{path}/receipt", json={**FOUND, "country": "FR"})
    after = await intake.view(path)
    assert (corrected.status_code, corrected.json()["due_on"], after["due_on"]) == (200, "2026-03-20", "2026-03-20")
    assert (after["received_at"], after["warning"]) == ("2026-02-20T08:00:00+00:00", "due_in_3_days")
    [entry] = await intake.details(path, "request.redated")
    before, now = entry["before"], entry["after"]
    known = "2026-04-01", "2026-03-02T09:00:00+00:00", "DE"
    assert (before["due_on"], before["received_at"], before["calendar"]) == known
    assert (now["due_on"], now["calendar"], now["calc_version"]) == ("2026-03-20", "FR", calc_version(POLICY))
    assert PROPOSAL["explanation"] not in json.dumps(entry)
    event = (await intake.published())[-1]
    assert (await intake.types())[-1] == "redated"
    assert (event["cause"], event["due_on"]) == ("receipt_corrected", "2026-03-20")
    assert (event["zones"], event["calendar"]) == (["America/New_York", "Europe/Paris"], "FR")


async def test_a_warning_goes_when_the_date_that_it_was_of_has_moved_away(intake: Intake) -> None:
    path = await intake.submit(received_at="2026-02-02T09:00:00+01:00")
    await intake.unit_of_work.pool.execute("UPDATE request SET warning = 'overdue_commitment'")
    (await intake.officer.post(f"{path}/receipt", json=FOUND)).raise_for_status()
    after = await intake.view(path)
    assert (after["due_on"], after["warning"]) == ("2026-03-20", None)


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({"received_at": "2026-03-06T09:00:00+01:00"}, 400, "future"),
        ({"received_at": "2026-03-04T09:00:00+01:00"}, 400, "entered here"),
        ({"received_at": "2026-03-02T09:00:00+00:00"}, 400, "nothing would change"),
        ({"received_at": "2026-03-02T09:00:00+00:00", "country": "DE"}, 400, "nothing would change"),
        ({"reason": "  "}, 422, ""),
        ({"received_at": "2026-02-20T09:00:00"}, 422, ""),
    ],
)
async def test_a_correction_that_cannot_be_is_refused_and_nothing_moves(
    intake: Intake, clock: SetClock, changed: dict[str, str], status: int, words: str
) -> None:
    path = await intake.submit()
    clock.pass_by(days=3)
    refused = await intake.officer.post(f"{path}/receipt", json={**FOUND, **changed})
    assert (refused.status_code, words in refused.json()["detail"]) == (status, True)
    assert (await intake.view(path))["due_on"] == "2026-04-01"
    assert await intake.types() == ["received", "verified"]


async def test_a_channel_corrects_nothing_and_what_is_answered_keeps_its_receipt(intake: Intake) -> None:
    path = await intake.submit()
    by_a_channel = await intake.channel.post(f"{path}/receipt", json=FOUND)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    too_late = await intake.officer.post(f"{path}/receipt", json=FOUND)
    assert (by_a_channel.status_code, too_late.status_code) == (403, 409)


@pytest.mark.parametrize(
    ("received_at", "due_on", "in_time"),
    [("2026-02-28T09:00:00+01:00", "2026-05-28", True), ("2026-01-20T09:00:00+01:00", "2026-04-19", False)],
)
async def test_an_extension_stays_within_what_the_law_allows_and_whether_it_was_told_in_time_is_on_record(
    intake: Intake, received_at: str, due_on: str, *, in_time: bool
) -> None:
    path = await intake.submit()
    await intake.extend(path)
    corrected = await intake.officer.post(f"{path}/receipt", json={**FOUND, "received_at": received_at})
    [entry] = await intake.details(path, "request.redated")
    assert (corrected.json()["due_on"], entry["extension_told_in_time"]) == (due_on, in_time)


async def test_a_changed_policy_redates_what_is_open_once_and_makes_no_promise_later(intake: Intake) -> None:
    plain, answered, extended = [await intake.submit() for _ in range(3)]
    (await intake.channel.post(f"{answered}/withdraw")).raise_for_status()
    await intake.extend(extended)
    said = len(await intake.published())
    assert await redate(intake.unit_of_work, POLICY, batch=1) == 0
    assert [await redate(intake.unit_of_work, promising(25), batch=1) for _ in range(2)] == [2, 0]
    due = [(await intake.view(path))["due_on"] for path in (plain, answered, extended)]
    assert due == ["2026-03-27", "2026-04-01", "2026-05-27"]
    # back again: nobody gets less than promised
    assert [await redate(intake.unit_of_work, POLICY) for _ in range(2)] == [2, 0]
    assert (await intake.view(plain))["due_on"] == "2026-03-27"
    events = (await intake.published())[said:]
    assert [(event["type"], event["cause"]) for event in events] == [("dsr.request.redated.v1", "policy_changed")] * 4
    assert {event["due_on"] for event in events} == {"2026-03-27", "2026-05-27"}


async def test_what_was_stored_before_versions_were_kept_gets_one_with_the_first_run(intake: Intake) -> None:
    await intake.submit()
    await intake.unit_of_work.pool.execute("UPDATE request SET calc_version = ''")
    assert [await redate(intake.unit_of_work, POLICY) for _ in range(2)] == [1, 0]
    assert await intake.unit_of_work.pool.fetchval("SELECT calc_version FROM request") == calc_version(POLICY)


async def test_what_a_customer_decides_about_waits_and_nothing_of_ours_begins(intake: Intake) -> None:
    path = await intake.submit(**THEIRS)
    waiting = await intake.view(path)
    tried = [
        await intake.channel.post(f"{path}/verify", json=PROOF),
        await intake.officer.post(f"{path}/decision", json={"decision": "retry"}),
        await intake.officer.post(f"{path}/extension", json=PROPOSAL),
    ]
    assert (waiting["state"], waiting["role"], waiting["due_on"]) == ("awaiting_decision", "processor", "2026-03-04")
    assert "data that we process for a customer" in str(waiting["answer"])
    assert [(one.status_code, "forward" in one.json()["detail"]) for one in tried] == [(409, True)] * 3
    [received] = await intake.published()
    assert (received["type"], received["role"]) == ("dsr.request.received.v1", "processor")


@pytest.mark.parametrize("may_be_named", [True, False])
async def test_forwarding_closes_the_request_and_the_subject_reads_who_answers(
    intake: Intake, *, may_be_named: bool
) -> None:
    path = await intake.submit(**THEIRS)
    body = {"controller": CUSTOMER, "may_be_named": may_be_named}
    by_a_channel = await intake.channel.post(f"{path}/forward", json=body)
    forwarded = await intake.officer.post(f"{path}/forward", json=body)
    twice = await intake.officer.post(f"{path}/forward", json=body)
    after = await intake.view(path)
    (letter,) = await intake.letters(path)
    assert (by_a_channel.status_code, forwarded.json()["state"], twice.status_code) == (403, "closed", 409)
    assert (after["outcome"], "they will answer you" in str(after["answer"])) == ("forwarded", True)
    assert (letter["kind"], CUSTOMER in letter["body"]) == ("forwarded", may_be_named)
    assert "will answer you" in letter["body"]
    closed = (await intake.published())[-1]
    assert (closed["type"], closed["outcome"]) == ("dsr.request.closed.v1", "forwarded")
    [entry] = await intake.details(path, "request.forwarded")
    assert entry["named_to_subject"] is may_be_named
    assert CUSTOMER not in json.dumps(entry)
    acknowledged = ["request.received", "letter.written"]
    actions = [*acknowledged, "letter.written", "request.forwarded", "request.closed"]
    assert [action for action in await intake.actions(path) if action != "letters.read"] == actions


async def test_what_turns_out_to_be_a_customer_s_is_forwarded_before_it_begins_and_not_after(intake: Intake) -> None:
    waiting, begun = await intake.submit(assurance=None), await intake.submit()
    body = {"controller": CUSTOMER}
    answers = [(await intake.officer.post(f"{path}/forward", json=body)).status_code for path in (waiting, begun)]
    assert answers == [200, 409]
    after = await intake.view(waiting)
    assert (after["role"], after["outcome"]) == ("processor", "forwarded")
    assert (await intake.view(begun))["state"] == "in_progress"


async def test_the_person_is_asked_which_company_they_dealt_with_and_then_it_is_forwarded(intake: Intake) -> None:
    path = await intake.submit(**THEIRS)
    asked = {"question": "clarification", "text": "Which company did you speak to?"}
    waiting = await intake.officer.post(f"{path}/question", json=asked)
    replied = await intake.channel.post(f"{path}/reply", json={"text": CUSTOMER})
    forwarded = await intake.officer.post(f"{path}/forward", json={"controller": CUSTOMER})
    states = [one.json()["state"] for one in (waiting, replied, forwarded)]
    assert states == ["awaiting_clarification", "awaiting_decision", "closed"]
