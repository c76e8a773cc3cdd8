"""Recipients are notified (Art. 19) by one digest a day, and followed up until they answer."""

import asyncio
import hashlib
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake.core.instants import retention
from services.intake.delivery import outcomes
from services.intake.jobs import expiry
from services.intake.letters import sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.recipients import digests as recipient_digests
from services.intake.store.repository import Requests
from shared.domain.events import FulfilmentCompleted
from shared.domain.operations import Kept, Operation, TaskOutcome, TaskReport
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit_policy import read_policy
from shared.runtime.metrics import PEOPLE
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of, reference_of
from tests.fixtures.letters_sent import send
from tests.fixtures.mail_server import MailServer
from tests.fixtures.recipients import (
    ADA,
    CITY,
    content,
    digest_of,
    digests,
    erased,
    listed,
    report,
    waiting,
)


async def test_each_recipient_of_erased_data_gets_one_digest_and_is_listed(disclosing: Intake) -> None:
    path = await erased(disclosing)
    assert await disclosing.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 0, "nothing goes at closing"
    sent = await digests(disclosing, days=0, sent=False)
    known = ("- e-mail address: ada@example.org", "- name: Ada Quarzfels")
    for said in ("we have erased", "It is about: - marketing: all that we held", *known):
        assert said in sent["mailer"]
    assert "calls" not in sent["mailer"]
    assert "C-19" not in sent["mailer"], "what the mailer never had would be a new disclosure"
    assert not [each for each in ADA.values() if each in sent["carrier"]], "it knows numbers alone"
    assert "nothing from us by which you could tell who they are" in sent["carrier"]
    theirs = await listed(disclosing, path)
    assert {name: each["state"] for name, each in theirs.items()} == dict.fromkeys(("mailer", "carrier"), "underway")
    assert (theirs["carrier"]["name"], theirs["carrier"]["country"]) == ("Example Carrier Inc. (fictitious)", "US")
    to = {name: (await content(disclosing, UUID(each["digest_id"]))).to or "" for name, each in theirs.items()}
    assert to["mailer"] == "Beispielpost GmbH (fictitious) <privacy@beispielpost.example>"
    assert "Example Carrier" in to["carrier"]
    letters = (await disclosing.officer.get("/v1/letters")).raise_for_status().json()["data"]
    ways = {theirs["mailer"]["digest_id"]: ("email", None), theirs["carrier"]["digest_id"]: ("post", None)}
    assert {each["letter_id"]: (each["way"], each["request_id"]) for each in letters} == ways
    code = {"Letter-Code": sealed_letters.letter_code(disclosing.unit_of_work.vault.keyring, UUID(id_of(path)))}
    read = (await disclosing.channel.get(f"{path}/letters", headers=code)).raise_for_status().json()["data"]
    assert [each["kind"] for each in read] == ["acknowledgement", "answer"]
    named = " ".join(read[-1]["body"].split())
    assert "Beispielpost GmbH (fictitious) (DE)" in named
    assert "Example Carrier Inc. (fictitious) (US)" in named
    said_of = {"recipients": {"mailer": "erased", "carrier": "erased"}}
    assert await disclosing.details(path, "recipients.concerned") == [said_of]
    assert "ada@" not in str(await disclosing.evidence(path))


async def test_digest_of_a_day_tells_of_each_person_apart_and_is_on_record(
    disclosing: Intake, server: MailServer
) -> None:
    first = await erased(disclosing)
    written = await digests(disclosing, sent=False)
    others = [await disclosing.submit(right="erasure") for _ in range(2)]
    for path in others:
        tasks = (report(Operation.ERASE, newsletter=1),)
        await disclosing.complete(path, right=Right.ERASURE, operation=Operation.ERASE, tasks=tasks)
    assert await digests(disclosing, days=0, sent=False) == written, "one a day"
    both = (await digests(disclosing, sent=False))["mailer"]
    assert reference_of(first) not in both
    parts = both.split("Our reference: ")[1:]
    emails = {part[:13]: re.findall(r"ada[.\d]*@example\.org", part) for part in parts}
    assert emails == {reference_of(path): [f"ada.{n}@example.org"] for n, path in zip((2, 3), others, strict=True)}
    server.breaks_off = True
    assert await send(disclosing, server) == 0
    server.breaks_off = False
    disclosing.clock.at += timedelta(hours=1)
    assert await send(disclosing, server) == 2
    assert len({each.mail["Message-ID"] for each in server.taken}) == 2, "a repeat is recognised"
    digest_id = UUID((await digest_of(disclosing, others[0], "mailer")).rpartition("/")[2])
    kept = hashlib.sha256((await content(disclosing, digest_id)).html.encode()).hexdigest()
    for path in others:
        known = {"recipient": "mailer", "digest_id": str(digest_id), "sha256": kept}
        assert await disclosing.details(path, "recipient.notice_sent") == [known], "once"
        assert (await listed(disclosing, path))["mailer"]["state"] == "notified"


async def test_two_processes_write_one_digest(disclosing: Intake) -> None:
    path = await erased(disclosing)
    writing = [recipient_digests.write_due(disclosing.unit_of_work, read_policy()) for _ in range(2)]
    assert sum(await asyncio.gather(*writing)) == 2, "for the mailer and for the carrier"
    assert await disclosing.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 2
    assert all(each["digest_id"] for each in (await listed(disclosing, path)).values())


async def test_recipients_learn_corrections_and_objections_to_marketing(disclosing: Intake) -> None:
    path = await disclosing.submit(right="rectification", changes=[CITY])
    said: dict[str, Any] = {"right": Right.RECTIFICATION, "operation": Operation.RECTIFY}
    await disclosing.complete(path, **said, tasks=(report(Operation.RECTIFY, address=1),))
    (notice,) = (await digests(disclosing)).values()
    assert "address.city: Potsdam" in notice
    assert "Berlin" not in notice
    objection = await disclosing.submit(right="objection", scope="direct_marketing", assurance=None, proofs=[])
    said = {"right": Right.OBJECTION, "operation": Operation.SUPPRESS}
    await disclosing.complete(objection, **said, tasks=(report(Operation.SUPPRESS, account=1),))
    (notice,) = (await digests(disclosing)).values()
    assert "stop using them for that immediately" in notice
    assert await listed(disclosing, objection) == {}  # it would tell whether they are a customer
    assert "Beispielpost" not in (await disclosing.letters(objection))[-1]["body"]


SO_FAR = {"outcome": Outcome.PARTIALLY_FULFILLED, "so_far": True}


async def test_mailer_is_notified_of_a_marketing_stop_before_the_decision(disclosing: Intake) -> None:
    path = await disclosing.submit(right="objection", scope="direct_marketing", assurance=None, proofs=[])
    said: dict[str, Any] = {"right": Right.OBJECTION, "operation": Operation.SUPPRESS}
    early = (report(Operation.SUPPRESS, account=1), waiting(Operation.SUPPRESS))
    await disclosing.report(path, *early, **said, **SO_FAR)
    assert "stop using them for that immediately" in (await digests(disclosing))["mailer"]
    view = (await disclosing.officer.get(path)).raise_for_status().json()
    assert view["state"] == "in_progress"
    assert [(each["changed"], each["outcome"]) for each in view["tasks"]] == [(1, None)], "what is done, and not ended"
    await disclosing.report(path, *early, **said, **SO_FAR)
    await disclosing.complete(path, **said, tasks=(report(Operation.SUPPRESS, account=1),))
    assert await digests(disclosing) == {}, "once"
    noted = "SELECT detail::jsonb -> 'systems' ->> 'crm' FROM evidence.entry WHERE action = 'use.stopped_so_far'"
    assert await disclosing.unit_of_work.pool.fetchval(noted) == "1"


async def test_recipients_learn_of_a_restriction_once_something_is_restricted(disclosing: Intake) -> None:
    path = await disclosing.submit(right="restriction", ground="unlawful")
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT}
    await disclosing.report(path, waiting(Operation.RESTRICT), **said, **SO_FAR)
    assert await digests(disclosing) == {}
    done = (report(Operation.RESTRICT, newsletter=1), waiting(Operation.RESTRICT))
    await disclosing.report(path, *done, **said, **SO_FAR)
    assert {name: each["state"] for name, each in (await listed(disclosing, path)).items()} == {"mailer": "underway"}
    await disclosing.complete(path, **said, tasks=(done[0],))
    await disclosing.report(path, *done, **said, **SO_FAR)
    view = (await disclosing.officer.get(path)).raise_for_status().json()
    assert (view["state"], [each["changed"] for each in view["tasks"]]) == ("closed", [1]), "what comes late is known"


async def test_recipient_counts_as_notified_at_delivery_and_not_after_a_bounce(
    disclosing: Intake, server: MailServer
) -> None:
    path = await erased(disclosing)
    await digests(disclosing, sent=False)
    digest = await digest_of(disclosing, path, "mailer")
    early = await disclosing.officer.post(f"{digest}/actions/record-reply", json={"reply": "done"})
    assert (early.status_code, await send(disclosing, server)) == (409, 1)
    assert (await listed(disclosing, path))["mailer"]["state"] == "notified"
    letter_id = UUID(digest.rpartition("/")[2])
    async with disclosing.unit_of_work.begin() as tx:
        await outcomes.record_failed(tx, LetterFacts(), letter_id, "returned")
    back = (await listed(disclosing, path))["mailer"]
    assert (back["state"], back["notified_at"]) == ("underway", None)
    assert len(await disclosing.details(path, "recipient.notice_returned")) == 1
    for way, state in (("email", "underway"), ("post", "notified")):
        waits = (await disclosing.officer.get("/v1/letters")).json()["data"]
        assert ("returned" in str(waits)) is (way == "email"), "a person sees to it"
        moved = await disclosing.officer.post(f"/v1/letters/{letter_id}/actions/deliver", json={"way": way})
        assert moved.status_code == 200, moved.text
        if way == "email":
            async with disclosing.unit_of_work.begin() as tx:
                await outcomes.record_failed(tx, LetterFacts(), letter_id, "refused")
        else:
            (await disclosing.officer.post(f"/v1/letters/{letter_id}/actions/mark-posted")).raise_for_status()
        assert (await listed(disclosing, path))["mailer"]["state"] == state


async def test_silent_recipient_is_reminded_once_then_overdue_and_answers_both(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, newsletter=1))
    await digests(disclosing)
    assert await digests(disclosing, days=7) == {}, "ten working days have not passed"
    assert await counted(disclosing) == {"underway": 0, "notified": 1, "overdue": 0}
    reminder = await digests(disclosing, days=9)
    assert "On 3 March 2026 we informed you" in reminder["mailer"]
    assert "ada@" not in reminder["mailer"]
    assert [each["recipient"] for each in await disclosing.details(path, "recipient.reminded")] == ["mailer"]
    assert await digests(disclosing, days=9) == {}
    assert (await disclosing.officer.get("/v1/recipient-digests")).json() == {"data": [], "next_cursor": None}
    assert await digests(disclosing, days=9) == {}, "one reminder"
    waiting = (await disclosing.officer.get("/v1/recipient-digests")).raise_for_status().json()["data"]
    assert [(each["recipient"], each["requests"]) for each in waiting] == [("mailer", 1)]
    mailer = (await listed(disclosing, path))["mailer"]
    assert (mailer["overdue"], bool(mailer["reminded_at"])) == (True, True)
    assert await counted(disclosing) == {"underway": 0, "notified": 0, "overdue": 1}
    query = "SELECT digest_id FROM recipient_digest ORDER BY written_at DESC LIMIT 1"
    answered = f"/v1/recipient-digests/{await disclosing.unit_of_work.pool.fetchval(query)}/actions/record-reply"
    for said in ("acknowledged", "done"):
        assert (await disclosing.officer.post(answered, json={"reply": said})).status_code == 200, "to the reminder"
        assert (await listed(disclosing, path))["mailer"]["state"] == said
    assert (await disclosing.officer.post(answered, json={"reply": "done"})).status_code == 409


async def counted(intake: Intake) -> dict[str, float | None]:
    await intake.count()
    states = ("underway", "notified", "overdue")
    return {each: PEOPLE.get_sample_value("dsr_recipient_notices_open", {"state": each}) for each in states}


async def test_digest_for_a_recipient_without_a_channel_is_printed_and_posted(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, call=1))
    await digests(disclosing, sent=False)
    digest = await digest_of(disclosing, path, "carrier")
    printed = (await disclosing.officer.get("/v1/letters/print")).raise_for_status().text
    for said in (reference_of(path), "1 Example Street"):
        assert said in printed, said
    assert reference_of(path) in (await disclosing.officer.get(digest)).raise_for_status().json()["html"]
    read = await disclosing.details(path, "recipient.digest_read")
    assert [each["holder"] for each in read] == ["officer-1"] * 2, "printed, and read"
    early = await disclosing.officer.post(f"{digest}/actions/record-reply", json={"reply": "done"})
    assert (early.status_code, "not notified yet" in early.text) == (409, True)
    posted = f"/v1/letters/{digest.rpartition('/')[2]}/actions/mark-posted"
    assert [(await disclosing.officer.post(posted)).status_code for _ in range(2)] == [200, 409]
    assert (await listed(disclosing, path))["carrier"]["state"] == "notified"
    (sent,) = await disclosing.details(path, "recipient.notice_sent")
    html = (await content(disclosing, UUID(sent["digest_id"]))).html
    assert sent["sha256"] == hashlib.sha256(html.encode()).hexdigest()
    assert (await disclosing.officer.get(f"/v1/recipient-digests/{uuid7()}")).status_code == 404
    assert {(await disclosing.channel.get(each)).status_code for each in (digest, "/v1/recipient-digests")} == {403}


async def test_later_part_notifies_newly_concerned_recipients(disclosing: Intake) -> None:
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
    assert (await listed(disclosing, path)).keys() == {"mailer", "collector", "carrier"}
    before = await digests(disclosing)
    assert "records of calls: a part of the records" in before["carrier"]
    assert "the last until 30 March 2028" in before["carrier"]
    await disclosing.complete(path, **said, tasks=(TaskReport.model_validate(fewer),), deferred=True)
    assert await digests(disclosing) == {}, "what goes by its day in between was announced"
    await disclosing.complete(path, **said, tasks=(TaskReport.model_validate(gone),), deferred=True)
    last = await digests(disclosing)
    assert last.keys() == {"carrier"}
    assert "records of calls: all that we held" in last["carrier"]


@pytest.mark.parametrize(("reduced", "notifies"), [(None, True), ({"call": 3}, True), ({}, False)])
async def test_reduced_rows_need_no_notice(
    disclosing: Intake, reduced: dict[str, int] | None, *, notifies: bool
) -> None:
    kept = Kept(category="call", rule="calls_us_18m", count=3, period="P18M")
    nothing: dict[str, Any] = {"outcome": "retained", "changed": 0, "by_category": {"call": 3}, "kept": (kept,)}
    path = await erased(disclosing, report(Operation.ERASE, call=3).model_copy(update={**nothing, "reduced": reduced}))
    assert bool(await listed(disclosing, path)) is notifies
    assert bool(await digests(disclosing)) is notifies


@pytest.mark.parametrize(
    ("rows", "words"),
    [(1, "do nothing else with them until you hear from us"), (2, "the others we still keep, for a reason that the")],
    ids=["all of it", "a part"],
)
async def test_mailer_is_notified_of_held_data_and_others_of_erased(disclosing: Intake, rows: int, words: str) -> None:
    kept = Kept(category="newsletter", rule="legal_hold", count=1, restricted=1)
    some = report(Operation.ERASE, newsletter=rows, call=3).model_copy(
        update={"outcome": TaskOutcome.RETAINED, "kept": (kept,), "changed": rows + 2}
    )
    await erased(disclosing, some)
    said = await digests(disclosing)
    mailer, carrier = said["mailer"], said["carrier"]
    assert words in mailer
    assert "restricted" in mailer
    assert ("erased" in mailer) is (rows == 2)
    assert "we have erased" in carrier


async def test_outdated_notice_does_not_count(disclosing: Intake) -> None:
    path = await disclosing.submit(right="erasure")
    said: dict[str, Any] = {"right": Right.ERASURE, "operation": Operation.ERASE}
    kept = Kept(category="newsletter", rule="legal_hold", count=2)
    some = report(Operation.ERASE, newsletter=3).model_copy(update={"outcome": TaskOutcome.RETAINED, "kept": (kept,)})
    some = some.model_copy(update={"changed": 1})
    await disclosing.complete(path, **said, tasks=(some,), outcome=Outcome.PARTIALLY_FULFILLED)
    await digests(disclosing, sent=False)
    before = UUID((await listed(disclosing, path))["mailer"]["digest_id"])
    await disclosing.complete(path, **said, tasks=(report(Operation.ERASE, newsletter=2),), deferred=True)
    async with disclosing.unit_of_work.begin() as tx:
        await outcomes.record_sent(tx, LetterFacts(), before)
    assert (await listed(disclosing, path))["mailer"]["state"] == "underway"
    assert (await digests(disclosing)).keys() == {"mailer"}
    assert (await listed(disclosing, path))["mailer"]["state"] == "notified"


async def test_data_without_a_recipient_need_no_notice(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, ticket=1))
    assert (await digests(disclosing), await listed(disclosing, path)) == ({}, {})


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
    """Restricts Ada's data, by default her newsletter."""
    path = await intake.submit(**ASKS[right], subject=ADA)
    tasks = (report(Operation.RESTRICT, **(by_category or {"newsletter": 1})),)
    await intake.complete(path, right=right, operation=Operation.RESTRICT, tasks=tasks, outcome=Outcome.FULFILLED)
    return path


def lift(path: str, right: Right) -> FulfilmentCompleted:
    """Systems have lifted it."""
    said: dict[str, Any] = {"operation": Operation.LIFT, "outcome": Outcome.FULFILLED, "tasks": ()}
    return a(FulfilmentCompleted, about=id_of(path), right=right, **said)


async def next_said(intake: Intake, recipient: str = "mailer") -> dict[str, str]:
    """Returns what the next digest says to a recipient, by the reference of each request."""
    body = (await digests(intake)).get(recipient, "")
    said, what = dict[str, str](), ""
    for restrict, free, found in re.findall(f"({RESTRICTED})|({LIFTED})|Our reference: ([-A-Z0-9]{{13}})", body):
        what = "restricted" if restrict else "lifted" if free else what
        said |= {found: what} if found else {}
    return said


async def test_restriction_and_lift_of_an_objection_are_notified(disclosing: Intake) -> None:
    path = await restricted(disclosing, Right.OBJECTION)
    assert await next_said(disclosing) == {reference_of(path): "restricted"}
    await disclosing.weigh(path, "overridden")
    assert await next_said(disclosing) == {}, "it is not lifted yet"
    assert "We tell those" not in (await disclosing.letters(path))[-1]["body"]
    await disclosing.consume(lift(path, Right.OBJECTION))
    assert await next_said(disclosing) == {reference_of(path): "lifted"}


@pytest.mark.parametrize(("written", "after"), [(False, {}), (True, {"lifted"})], ids=["not notified", "under way"])
async def test_lift_notice_needs_a_restriction_notice(disclosing: Intake, *, written: bool, after: set[str]) -> None:
    path = await restricted(disclosing, Right.RESTRICTION)
    if written:
        await digests(disclosing, sent=False)
    (await disclosing.officer.post(f"{path}/actions/lift")).raise_for_status()
    await disclosing.consume(lift(path, Right.RESTRICTION))
    assert set((await next_said(disclosing)).values()) == set(after)
    assert bool(await listed(disclosing, path)) is written


async def test_data_under_another_restriction_are_not_announced_as_free(disclosing: Intake) -> None:
    first = await restricted(disclosing, Right.RESTRICTION, newsletter=1, call=2)
    second = await restricted(disclosing, Right.OBJECTION)
    both = [reference_of(path) for path in (first, second)]
    assert await next_said(disclosing) == dict.fromkeys(both, "restricted")
    (await disclosing.officer.post(f"{first}/actions/lift")).raise_for_status()
    await disclosing.consume(lift(first, Right.RESTRICTION))
    assert await next_said(disclosing, "carrier") == {both[0]: "lifted"}
    states = {name: each["what"] for name, each in (await listed(disclosing, first)).items()}
    assert states == {"mailer": "restricted", "carrier": "lifted"}, "her calls nothing else restricts"
    await disclosing.weigh(second, "overridden")
    await disclosing.consume(lift(second, Right.OBJECTION))
    assert await next_said(disclosing) == dict.fromkeys(both, "lifted"), "by now, of both"


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in two together"])
async def test_of_two_that_are_lifted_at_the_same_time_recipients_hear(disclosing: Intake, *, together: bool) -> None:
    paths = [await restricted(disclosing, Right.RESTRICTION) for _ in range(2)]
    await digests(disclosing)
    for path in paths:
        (await disclosing.officer.post(f"{path}/actions/lift")).raise_for_status()
    first, second = [lift(path, Right.RESTRICTION) for path in paths]
    if together:
        await disclosing.consume(first, second)
    else:
        async with disclosing.unit_of_work.begin() as tx:
            requests = await Requests.locked(tx, LetterFacts(), [first.request_id])
            await requests.apply(requests[first.request_id].complete(first, tx.now))
            await requests.save()
            other = asyncio.create_task(disclosing.consume(second))
            while not (other.done() or await disclosing.unit_of_work.pool.fetchval(WAITS)):
                pass
        await other
    assert await next_said(disclosing) == {reference_of(path): "lifted" for path in paths}, "the later knows of both"


async def test_withdrawn_restriction_is_notified_to_its_earlier_recipients(disclosing: Intake) -> None:
    path = await disclosing.submit(**ASKS[Right.RESTRICTION], subject=ADA)
    early: tuple[TaskReport, ...] = (report(Operation.RESTRICT, newsletter=1),)
    said: dict[str, Any] = {"right": Right.RESTRICTION, "operation": Operation.RESTRICT}
    await disclosing.report(path, *early, **said, outcome=Outcome.PARTIALLY_FULFILLED, so_far=True)
    assert await next_said(disclosing) == {reference_of(path): "restricted"}
    (await disclosing.channel.post(f"{path}/actions/withdraw")).raise_for_status()
    late = (report(Operation.RESTRICT, newsletter=1, call=2),)
    await disclosing.report(path, *late, **said, outcome=Outcome.PARTIALLY_FULFILLED)
    await disclosing.consume(lift(path, Right.RESTRICTION))
    assert await next_said(disclosing) == {reference_of(path): "lifted"}
    assert (await listed(disclosing, path)).keys() == {"mailer"}, "the calls were never announced"


async def test_digests_end_with_the_period_of_letters(disclosing: Intake) -> None:
    path = await erased(disclosing)
    await digests(disclosing)
    digest = await digest_of(disclosing, path, "mailer")
    disclosing.clock.at += timedelta(days=400)
    ended = await expiry.end_all(disclosing.unit_of_work, retention(), lambda: None)
    assert (ended["digests"], ended["letters"]) == (2, 1)
    assert (await disclosing.officer.get(digest)).status_code == 404
    assert await disclosing.unit_of_work.pool.fetchval("SELECT count(*) FROM delivery") == 0
    assert (await listed(disclosing, path))["mailer"]["state"] == "notified", "that it was is on record"
