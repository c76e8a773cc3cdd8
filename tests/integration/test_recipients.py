"""Recipients are told of what was done (Art. 19), and followed until they have said something."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake import statistics
from services.intake.letters import correspondence, delivered
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.runtime.metrics import PEOPLE
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.mail_server import letters_taken
from tests.fixtures.recipients import ADA, CITY, WHY, erased, listed, notices, report, silent, waiting


async def test_each_recipient_of_erased_data_gets_one_notice_and_is_listed(disclosing: Intake) -> None:
    path = await erased(disclosing)
    to_carrier, to_mailer = sorted(await notices(disclosing, path), key=lambda each: each["to"][0])[::-1]
    assert to_mailer["to"] == ["Beispielpost GmbH (fictitious) <privacy@beispielpost.example>"]
    known = ("- e-mail address: ada@example.org", "- name: Ada Quarzfels")
    for said in ("we have erased", "It is about: - marketing: all that we held", *known):
        assert said in " ".join(to_mailer["body"].split())
    assert "calls" not in to_mailer["body"]
    assert "C-19" not in to_mailer["body"], "what the mailer never had would be a new disclosure"
    assert not [each for each in ADA.values() if each in to_carrier["body"]], "it knows numbers alone"
    assert "nothing from us by which you could tell who they are" in " ".join(to_carrier["body"].split())
    assert "Example Carrier" in to_carrier["to"][0]
    theirs = await listed(disclosing, path)
    assert {name: each["state"] for name, each in theirs.items()} == {"mailer": "underway", "carrier": "to_be_told"}
    assert (theirs["carrier"]["name"], theirs["carrier"]["country"]) == ("Example Carrier Inc. (fictitious)", "US")
    code = {"Letter-Code": correspondence.code(disclosing.unit_of_work.vault.keyring, UUID(id_of(path)))}
    read = (await disclosing.channel.get(f"{path}/letters", headers=code)).raise_for_status().json()["letters"]
    assert [each["kind"] for each in read] == ["acknowledgement", "answer"]
    named = " ".join(read[-1]["body"].split())
    assert "Beispielpost GmbH (fictitious) (DE)" in named
    assert "Example Carrier Inc. (fictitious) (US)" in named
    concerned = [each["recipient"] for each in await disclosing.published() if "concerned" in each["type"]]
    assert sorted(concerned) == ["carrier", "mailer"]
    assert "ada@" not in str(await disclosing.evidence(path))


async def test_recipients_learn_corrections_and_objections_to_marketing(disclosing: Intake) -> None:
    path = await disclosing.submit(right="rectification", changes=[CITY])
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RECTIFY}
    await disclosing.complete(path, **said, tasks=(report(Operation.RECTIFY, address=1),))
    (notice,) = await notices(disclosing, path)
    assert "address.city: Potsdam" in notice["body"]
    assert "Berlin" not in notice["body"]
    objection = await disclosing.submit(right="objection", scope="direct_marketing", assurance=None, proofs=[])
    said = {"right": Right.OBJECTION, "operation": Operation.SUPPRESS}
    await disclosing.complete(objection, **said, tasks=(report(Operation.SUPPRESS, account=1),))
    (notice,) = await notices(disclosing, objection)
    assert "stop using them for that at once" in notice["body"]
    assert await listed(disclosing, objection) == {}  # it would tell whether they are a customer
    assert "Beispielpost" not in (await disclosing.letters(objection))[-1]["body"]


SO_FAR = {"outcome": Outcome.PARTIALLY_FULFILLED, "so_far": True}


async def test_mailer_is_told_of_a_marketing_stop_before_the_decision(disclosing: Intake) -> None:
    path = await disclosing.submit(right="objection", scope="direct_marketing", assurance=None, proofs=[])
    said: dict[str, Any] = {"right": Right.OBJECTION, "operation": Operation.SUPPRESS}
    early = (report(Operation.SUPPRESS, account=1), waiting(Operation.SUPPRESS))
    await disclosing.report(path, *early, **said, **SO_FAR)
    (notice,) = await notices(disclosing, path)
    assert "stop using them for that at once" in notice["body"]
    view = (await disclosing.officer.get(path)).raise_for_status().json()
    assert view["state"] == "in_progress"
    assert [(each["changed"], each["outcome"]) for each in view["tasks"]] == [(1, None)], "what is done, and not ended"
    await disclosing.report(path, *early, **said, **SO_FAR)
    await disclosing.complete(path, **said, tasks=(report(Operation.SUPPRESS, account=1),))
    assert len(await notices(disclosing, path)) == 1, "once"
    noted = "SELECT detail::jsonb -> 'systems' ->> 'crm' FROM evidence.entry WHERE action = 'use.stopped_so_far'"
    assert await disclosing.unit_of_work.pool.fetchval(noted) == "1"


async def test_recipients_learn_of_a_restriction_once_something_is_restricted(disclosing: Intake) -> None:
    path = await disclosing.submit(right="restriction", ground="unlawful")
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT}
    await disclosing.report(path, waiting(Operation.RESTRICT), **said, **SO_FAR)
    assert await notices(disclosing, path) == []
    done = (report(Operation.RESTRICT, newsletter=1), waiting(Operation.RESTRICT))
    await disclosing.report(path, *done, **said, **SO_FAR)
    assert {name: each["state"] for name, each in (await listed(disclosing, path)).items()} == {"mailer": "underway"}
    await disclosing.complete(path, **said, tasks=(done[0],))
    await disclosing.report(path, *done, **said, **SO_FAR)
    view = (await disclosing.officer.get(path)).raise_for_status().json()
    assert (view["state"], [each["changed"] for each in view["tasks"]]) == ("closed", [1]), "what comes late is known"


async def test_recipient_counts_as_told_at_delivery_and_not_after_a_bounce(disclosing: Intake) -> None:
    path = await erased(disclosing)
    early = await disclosing.officer.post(f"{path}/recipients/reply", json={"recipient": "mailer", "reply": "done"})
    assert (early.status_code, await letters_taken(disclosing.unit_of_work)) == (409, 1)
    assert (await listed(disclosing, path))["mailer"]["state"] == "told"
    assert (await disclosing.types())[-1] == "recipient_told"
    letter_id = await disclosing.unit_of_work.pool.fetchval("SELECT letter_id FROM delivery WHERE state = 'sent'")
    async with disclosing.unit_of_work.begin() as tx:
        await delivered.stopped(tx, Letters(), letter_id, "returned")
    back = (await listed(disclosing, path))["mailer"]
    assert (back["state"], back["told_at"], (await disclosing.published())[-1]["told_at"]) == ("to_be_told", None, None)
    on_paper = await disclosing.officer.post(f"/v1/letters/{letter_id}/delivery", json={"way": "post"})
    assert on_paper.status_code == 409, "the address of record is not theirs"
    await disclosing.officer.post(f"/v1/letters/{letter_id}/delivery", json={"way": "email"})
    again = await notices(disclosing, path)
    assert [each["to"] for each in again if "Beispielpost" in each["to"][0]], "it goes where it says, not to who asked"
    told = await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "mailer"})
    assert told.status_code == 200, "a person may have told them meanwhile"
    async with disclosing.unit_of_work.begin() as tx:
        await delivered.stopped(tx, Letters(), letter_id, "refused")
    assert (await listed(disclosing, path))["mailer"]["state"] == "told", "which no letter takes back"


async def test_silent_recipient_is_reminded_escalated_and_visible(disclosing: Intake) -> None:
    path = await erased(disclosing)
    await letters_taken(disclosing.unit_of_work)
    for working_days in (10, 20):
        await silent(disclosing, path, "mailer", "reminder", working_days)
    assert [each["kind"] for each in await notices(disclosing, path)].count("recipient_reminder") == 2
    await silent(disclosing, path, "mailer", "escalation", 30)
    waiting = (await disclosing.officer.get("/v1/recipient-notices")).raise_for_status().json()["to_do"]
    assert {(each["recipient"], each["state"], each["overdue"]) for each in waiting} == {
        ("mailer", "told", True),
        ("carrier", "to_be_told", False),
    }
    mailer = (await listed(disclosing, path))["mailer"]
    assert (mailer["reminders"], mailer["overdue"]) == (2, True)
    assert await disclosing.details(path, "recipient.silent") == [{"recipient": "mailer", "working_days": 30}]
    async with disclosing.unit_of_work.pool.acquire() as connection:
        await statistics.count(connection, disclosing.clock.now())
    counted = {
        state: PEOPLE.get_sample_value("dsr_recipient_notices_open", {"state": state})
        for state in ("to_be_told", "told", "overdue")
    }
    assert counted == {"to_be_told": 1, "told": 0, "overdue": 1}
    replied = await disclosing.officer.post(
        f"{path}/recipients/reply", json={"recipient": "mailer", "reply": "acknowledged"}
    )
    assert replied.status_code == 200, replied.text
    assert (await disclosing.published())[-1]["how"] == "acknowledged"
    await silent(disclosing, path, "mailer", "reminder", 40)
    assert [each["kind"] for each in await notices(disclosing, path)].count("recipient_reminder") == 2
    done = await disclosing.officer.post(f"{path}/recipients/reply", json={"recipient": "mailer", "reply": "done"})
    assert (done.status_code, (await listed(disclosing, path))["mailer"]["state"]) == (200, "done")


async def test_a_person_tells_whom_no_channel_reaches_and_nobody_elses_word_is_taken_before(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, call=1))
    early = await disclosing.officer.post(f"{path}/recipients/reply", json={"recipient": "carrier", "reply": "done"})
    assert (early.status_code, "no word of theirs is awaited" in early.text) == (409, True)
    nobody = await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "mailer"})
    assert (nobody.status_code, "those whom it concerns: carrier" in nobody.text) == (404, True)
    told = await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "carrier"})
    again = await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "carrier"})
    assert (told.status_code, again.status_code) == (200, 409)
    assert (await listed(disclosing, path))["carrier"]["state"] == "told"
    assert (await disclosing.types())[-1] == "recipient_told"


async def test_it_takes_two_persons_to_tell_a_recipient_nothing_and_a_reason_that_is_sealed(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, call=1))
    waiver = {"recipient": "carrier", "cause": "impossible", "explanation": WHY}
    approve = {"recipient": "carrier"}
    unasked = await disclosing.colleague.post(f"{path}/recipients/waiver/approval", json=approve)
    (await disclosing.officer.post(f"{path}/recipients/waiver", json=waiver)).raise_for_status()
    alone = await disclosing.officer.post(f"{path}/recipients/waiver/approval", json=approve)
    assert [each.status_code for each in (unasked, alone)] == [409, 409]
    read = await disclosing.colleague.get(f"{path}/recipients/waiver", params=approve)
    assert (read.json()["proposed"], read.json()["explanation"]) == ("impossible", WHY), "who agrees may read it"
    other = await disclosing.colleague.get(f"{path}/recipients/waiver", params={"recipient": "mailer"})
    assert other.status_code == 409
    assert (await listed(disclosing, path))["carrier"]["state"] == "to_be_told"
    (await disclosing.colleague.post(f"{path}/recipients/waiver/approval", json=approve)).raise_for_status()
    assert (await listed(disclosing, path))["carrier"]["state"] == "impossible"
    written = (await disclosing.officer.get(f"{path}/letters")).raise_for_status().json()["letters"]
    *_, first, told = [each for each in written if each["kind"] == "answer"]
    promised, said = (" ".join(each["body"].split()) for each in (first, told))
    assert "We tell those to whom we had disclosed these data what we have done: Example Carrier" in promised
    assert "We could not tell these recipients of it, since that has proved impossible" in said
    assert "We tell those" not in said, "what was promised and is not done is told"
    (settled,) = await disclosing.details(path, "recipient.notice_waived")
    assert (settled["cause"], settled["proposed_by"].startswith("key:")) == ("impossible", True)
    assert WHY not in str(await disclosing.evidence(path))
    late = await disclosing.officer.post(f"{path}/recipients/reply", json={"recipient": "carrier", "reply": "done"})
    assert late.status_code == 409


async def test_of_a_part_that_is_erased_later_those_are_told_whom_it_newly_concerns(disclosing: Intake) -> None:
    kept = TaskReport(task_id=uuid7(), system="billing", operation="erase", outcome="retained", ground="invoices_84m")
    path = await disclosing.submit(right="erasure")
    said: dict[str, Any] = {"right": Right.ERASURE, "operation": Operation.ERASE}
    calls = {"category": "call", "rule": "calls_us_18m", "count": 3}
    days = {"first": "2026-10-01", "last": "2028-03-30", "period": "P18M"}
    some = report(Operation.ERASE, call=2).model_dump(mode="json")
    some |= {"system": "cdr", "outcome": "retained", "by_category": {"call": 5}, "kept": [{**calls, **days}]}
    fewer = some | {"task_id": str(uuid7()), "changed": 1, "by_category": {"call": 3}}
    fewer |= {"kept": [{**calls, **days, "count": 2}]}
    gone = some | {"task_id": str(uuid7()), "outcome": "erased", "by_category": {"call": 2}, "kept": None}
    first = (report(Operation.ERASE, newsletter=1), kept, TaskReport.model_validate(some))
    await disclosing.complete(path, **said, tasks=first, outcome=Outcome.PARTIALLY_FULFILLED)
    assert (await listed(disclosing, path)).keys() == {"mailer", "carrier"}
    later = report(Operation.ERASE, billing=4).model_copy(update={"system": "billing", "outcome": "erased"})
    await disclosing.complete(path, **said, tasks=(later,), deferred=True)
    assert {name: each["state"] for name, each in (await listed(disclosing, path)).items()} == {
        "mailer": "underway",
        "collector": "to_be_told",
        "carrier": "to_be_told",
    }
    for cdr in (fewer, gone):
        await disclosing.complete(path, **said, tasks=(TaskReport.model_validate(cdr),), deferred=True)
    carrier = [each["body"] for each in await notices(disclosing, path) if "Carrier" in each["to"][0]]
    said_of_calls = [line for body in carrier for line in body.splitlines() if line.startswith("- records of calls")]
    assert [line.split(":")[1].split(";")[0].strip() for line in said_of_calls] == [
        "a part of the records",
        "all that we held",
    ], "what goes by its day in between was announced"
    assert "the last until 30 March 2028" in " ".join(carrier[0].split())


@pytest.mark.parametrize(("reduced", "told"), [(None, True), ({"call": 3}, True), ({}, False)])
async def test_reduced_rows_notify_nobody(disclosing: Intake, reduced: dict[str, int] | None, *, told: bool) -> None:
    kept = Kept(category="call", rule="calls_us_18m", count=3, period="P18M")
    nothing: dict[str, Any] = {"outcome": "retained", "changed": 0, "by_category": {"call": 3}, "kept": (kept,)}
    path = await erased(disclosing, report(Operation.ERASE, call=3).model_copy(update={**nothing, "reduced": reduced}))
    assert bool(await listed(disclosing, path)) is told
    assert bool(await notices(disclosing, path)) is told


@pytest.mark.parametrize(
    ("rows", "told"),
    [(1, "do nothing else with them until you hear from us"), (2, "the others we still keep, for a reason that the")],
    ids=["all of it", "a part"],
)
async def test_mailer_is_told_of_held_data_and_others_of_erased(disclosing: Intake, rows: int, told: str) -> None:
    kept = Kept(category="newsletter", rule="legal_hold", count=1, restricted=1)
    some = report(Operation.ERASE, newsletter=rows, call=3).model_copy(
        update={"outcome": TaskOutcome.RETAINED, "kept": (kept,), "changed": rows + 2}
    )
    said = {" ".join(each["body"].split()) for each in await notices(disclosing, await erased(disclosing, some))}
    mailer, carrier = sorted(said, key=lambda body: "calls" in body)
    assert told in mailer
    assert "restricted" in mailer
    assert ("erased" in mailer) is (rows == 2)
    assert "we have erased" in carrier


async def test_a_recipient_of_whom_more_was_said_since_is_not_told_by_the_notice_before(disclosing: Intake) -> None:
    path = await disclosing.submit(right="erasure")
    said: dict[str, Any] = {"right": Right.ERASURE, "operation": Operation.ERASE}
    kept = Kept(category="newsletter", rule="legal_hold", count=2)
    some = report(Operation.ERASE, newsletter=3).model_copy(update={"outcome": TaskOutcome.RETAINED, "kept": (kept,)})
    some = some.model_copy(update={"changed": 1})
    await disclosing.complete(path, **said, tasks=(some,), outcome=Outcome.PARTIALLY_FULFILLED)
    await disclosing.complete(path, **said, tasks=(report(Operation.ERASE, newsletter=2),), deferred=True)
    query = """
    SELECT d.letter_id FROM delivery d JOIN letter l USING (letter_id) WHERE l.kind = 'recipient_notice'
    ORDER BY l.letter_id
    """
    before, since = [row[0] for row in await disclosing.unit_of_work.pool.fetch(query)]
    async with disclosing.unit_of_work.begin() as tx:
        await delivered.sent(tx, Letters(), before)
    assert (await listed(disclosing, path))["mailer"]["state"] == "underway"
    async with disclosing.unit_of_work.begin() as tx:
        await delivered.stopped(tx, Letters(), since, "refused")
    assert (await listed(disclosing, path))["mailer"]["state"] == "to_be_told"


async def test_where_the_policy_names_no_recipient_of_the_data_nobody_is_told(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, ticket=1))
    assert (await notices(disclosing, path), await listed(disclosing, path)) == ([], {})


# Nobody is said to be told nothing who was told (Art. 19).
async def test_nobody_waives_a_notice_that_was_given_meanwhile(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, call=1))
    waiver = {"recipient": "carrier", "cause": "disproportionate", "explanation": WHY}
    (await disclosing.officer.post(f"{path}/recipients/waiver", json=waiver)).raise_for_status()
    await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "carrier"})
    approved = await disclosing.colleague.post(f"{path}/recipients/waiver/approval", json={"recipient": "carrier"})
    again = await disclosing.officer.post(f"{path}/recipients/waiver", json=waiver)
    assert [(each.status_code, "carrier was told" in each.text) for each in (approved, again)] == [(409, True)] * 2
    read = await disclosing.colleague.get(f"{path}/recipients/waiver", params={"recipient": "carrier"})
    assert (read.status_code, (await listed(disclosing, path))["carrier"]["state"]) == (409, "told"), "it fell"


# Recipients store what is restricted until nothing of the same person restricts it any more (Art. 18(1), 19).
RESTRICTED, LIFTED = "do nothing else with them until you hear from us", "you need no longer observe it"
WAITS = """
SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
               WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted)
"""
ASKS: dict[Right, dict[str, str]] = {
    Right.RESTRICTION: {"right": "restriction", "ground": "unlawful"},
    Right.OBJECTION: {"right": "objection", "scope": "legitimate_interests"},
}


async def restricted(intake: Intake, right: Right, **by_category: int) -> str:
    """What restricts Ada's data: her newsletter, unless told."""
    path = await intake.submit(**ASKS[right], subject=ADA)
    tasks = (report(Operation.RESTRICT, **(by_category or {"newsletter": 1})),)
    await intake.complete(path, right=right, operation=Operation.RESTRICT, tasks=tasks, outcome=Outcome.FULFILLED)
    return path


def lift(path: str, right: Right) -> FulfilmentCompleted:
    """Systems have lifted it."""
    said: dict[str, Any] = {"operation": Operation.LIFT, "outcome": Outcome.FULFILLED, "tasks": ()}
    return a(FulfilmentCompleted, about=id_of(path), right=right, **said)


async def told(intake: Intake, path: str) -> list[str]:
    """What the mailer is told of that request, in turn."""
    said = [(" ".join(each["body"].split()), each["to"][0]) for each in await notices(intake, path)]
    kinds = {RESTRICTED: "restricted", LIFTED: "lifted"}
    return [kind for body, to in said if "Beispielpost" in to for words, kind in kinds.items() if words in body]


async def weigh(intake: Intake, path: str, finding: str) -> None:
    (await intake.officer.post(f"{path}/balancing", json={"finding": finding, "explanation": WHY})).raise_for_status()
    (await intake.colleague.post(f"{path}/balancing/approval")).raise_for_status()


async def test_the_restriction_of_an_objection_is_told_and_that_it_is_lifted(disclosing: Intake) -> None:
    path = await restricted(disclosing, Right.OBJECTION)
    assert await told(disclosing, path) == ["restricted"]
    await weigh(disclosing, path, "overridden")
    assert await told(disclosing, path) == ["restricted"], "it is not lifted yet"
    assert "We tell those" not in (await disclosing.letters(path))[-1]["body"]
    await disclosing.consume(lift(path, Right.OBJECTION))
    assert await told(disclosing, path) == ["restricted", "lifted"]


async def test_nobody_is_told_that_data_are_free_which_another_request_restricts(disclosing: Intake) -> None:
    first = await restricted(disclosing, Right.RESTRICTION, newsletter=1, call=2)
    second = await restricted(disclosing, Right.OBJECTION)
    (await disclosing.officer.post(f"{first}/lift")).raise_for_status()
    await disclosing.consume(lift(first, Right.RESTRICTION))
    assert (await told(disclosing, first), await told(disclosing, second)) == (["restricted"], ["restricted"])
    states = {name: each["what"] for name, each in (await listed(disclosing, first)).items()}
    assert states == {"mailer": "restricted", "carrier": "lifted"}, "her calls nothing else restricts"
    await weigh(disclosing, second, "overridden")
    await disclosing.consume(lift(second, Right.OBJECTION))
    for path in (first, second):
        assert await told(disclosing, path) == ["restricted", "lifted"], "by now, of both"
    carrier = [each for each in await notices(disclosing, first) if "Carrier" in each["to"][0]]
    assert len(carrier) == 2, "once each"


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in two at once"])
async def test_of_two_that_are_lifted_at_the_same_time_recipients_hear(disclosing: Intake, *, together: bool) -> None:
    paths = [await restricted(disclosing, Right.RESTRICTION) for _ in range(2)]
    for path in paths:
        (await disclosing.officer.post(f"{path}/lift")).raise_for_status()
    first, second = [lift(path, Right.RESTRICTION) for path in paths]
    if together:
        await disclosing.consume(first, second)
    else:
        async with disclosing.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, Letters(), [first.request_id])
            await requests.apply(requests[first.request_id].complete(first, tx.now))
            await requests.save()
            other = asyncio.create_task(disclosing.consume(second))
            while not (other.done() or await disclosing.unit_of_work.pool.fetchval(WAITS)):
                pass
        await other
    told_of = [await told(disclosing, path) for path in paths]
    assert told_of == [["restricted", "lifted"]] * 2, "whoever comes later knows of the other"


async def test_of_a_restriction_that_is_withdrawn_those_hear_who_were_told_of_it(disclosing: Intake) -> None:
    path = await disclosing.submit(**ASKS[Right.RESTRICTION], subject=ADA)
    early: tuple[TaskReport, ...] = (report(Operation.RESTRICT, newsletter=1),)
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT}
    await disclosing.report(path, *early, **said, outcome=Outcome.PARTIALLY_FULFILLED, so_far=True)
    (await disclosing.channel.post(f"{path}/withdraw")).raise_for_status()
    late = (report(Operation.RESTRICT, newsletter=1, call=2),)
    await disclosing.report(path, *late, **said, outcome=Outcome.PARTIALLY_FULFILLED)
    await disclosing.consume(lift(path, Right.RESTRICTION))
    assert await told(disclosing, path) == ["restricted", "lifted"]
    assert (await listed(disclosing, path)).keys() == {"mailer"}, "of the calls nobody had heard"
