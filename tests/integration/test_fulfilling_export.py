"""What export adds to the same machine: the package, its pieces, and what a withdrawal or a closure leaves of them."""

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.export import handlers as export
from services.export.check import check
from shared.domain.events import RequestClosed, RequestVerified, RequestWithdrawn
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.proofs import proof_policy
from shared.domain.release import Match
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt, Record
from shared.fulfilment import handlers as fulfilling
from shared.storage import consents, suppression
from shared.storage.release import fault_of_package
from shared.storage.suppression import CHANNELS, Entry
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, each
from tests.fixtures.events import a
from tests.fixtures.packages import described, exporting, fetched, pack, unpacked
from tests.integration.test_fulfilling_services import EMAIL, PHONE, done, rows, verified

FOUND = (Match("email", EMAIL.value),)
CONTACT = Record("contact", "party", {"name": "Ada"}, portable=True, matched=FOUND)


def giving(*records: Record) -> ScriptedSystem:
    """A system that has these of whomever it is asked for."""
    given = each(lambda task: Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(records), records=records))
    return ScriptedSystem("crm", answers={Operation.EXPORT: given})


async def collected(harness: Harness, event: RequestVerified) -> None:
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.EXPORT, harness.fulfilments, [event], tx)
    await harness.worker("crm", Operation.EXPORT).work()


SCORE = Record("score", "risk", {"score": 3}, matched=FOUND)
TOLD = """
SELECT value ->> 'package_id', value #>> '{tasks,0,handed_out}'
FROM (SELECT convert_from(value, 'UTF8')::jsonb FROM outbox) o (value)
"""


@pytest.mark.parametrize(
    ("right", "names", "handed_out"), [(Right.ACCESS, 2, None), (Right.PORTABILITY, 1, {"contact": 1})]
)
async def test_a_finished_export_is_one_sealed_package_and_the_pieces_are_gone(
    open_harness: OpenHarness, right: Right, names: int, handed_out: dict[str, int] | None
) -> None:
    harness = exporting(await open_harness(giving(CONTACT, SCORE), service=ServiceName.EXPORT))
    await collected(harness, await verified(harness, right, replace(EMAIL, level="L2")))
    await pack(harness)
    assert await rows(harness, "SELECT kind FROM vault.sealed ORDER BY kind") == [("package",), ("release",)]
    [(told, said)] = await rows(harness, TOLD)
    assert len(described(await fetched(harness, UUID(told)))["records"]) == names
    assert (said and json.loads(said)) == handed_out
    [(built,)] = await rows(harness, "SELECT detail FROM evidence.entry WHERE action = 'package.built'")
    assert json.loads(built)["records"] == names
    lacks = {key: json.loads(built).get(key) for key in ("unexplained", "undeclared")}
    if right is Right.ACCESS:  # what makes the report one that is answered in part is on record
        assert lacks == {"unexplained": ["score.score"], "undeclared": ["score"]}
    else:
        assert lacks == {"unexplained": None, "undeclared": None}


async def test_a_portability_of_which_nothing_is_portable_has_no_package_and_says_so(open_harness: OpenHarness) -> None:
    harness = exporting(await open_harness(giving(SCORE), service=ServiceName.EXPORT))
    await collected(harness, await verified(harness, Right.PORTABILITY, replace(EMAIL, level="L2")))
    await pack(harness)
    [(told, said)] = await rows(harness, TOLD)
    assert (told, said) == (None, "{}")


async def test_an_access_has_their_other_requests_and_what_the_list_of_suppressed_has_of_what_is_proved_to_be_theirs(
    open_harness: OpenHarness,
) -> None:
    harness = exporting(await open_harness(giving(CONTACT), service=ServiceName.EXPORT))
    event = await verified(harness, Right.ACCESS, replace(EMAIL, level="L1"), PHONE)
    async with harness.unit_of_work.begin() as tx:
        tx.log_evidence(earlier := uuid7(), "request.received", {"right": "objection"})
    async with harness.unit_of_work.begin() as tx:
        fingerprint = tx.vault.keyring.fingerprint
        listed = [Entry(fingerprint(each), uuid7(), Right.OBJECTION, CHANNELS[each.type]) for each in (EMAIL, PHONE)]
        await suppression.add(tx.connection, listed, tx.now)
    await collected(harness, event.model_copy(update={"of_same_person": (earlier,)}))
    await pack(harness)
    [(told,)] = await rows(harness, "SELECT convert_from(value, 'UTF8')::json->>'package_id' FROM outbox")
    lines = unpacked(await fetched(harness, UUID(told)))["request.jsonl"].splitlines()
    found = [step for line in lines if (step := json.loads(line))["what"] == "suppression.listed"]
    assert [(step["contact_point"], step["right"]) for step in found] == [(EMAIL.value, "objection")]
    assert [step["right"] for step in map(json.loads, lines) if step.get("other_request") == str(earlier)] == [
        "objection"
    ]


async def test_whoever_is_in_no_system_but_on_a_list_of_ours_is_not_told_that_there_are_no_data(
    open_harness: OpenHarness,
) -> None:
    nobody = ScriptedSystem("crm", answers={Operation.EXPORT: each(lambda t: Receipt(t.task_id, TaskOutcome.NO_MATCH))})
    harness = exporting(await open_harness(nobody, service=ServiceName.EXPORT))
    event = await verified(harness, Right.ACCESS, replace(EMAIL, level="L1"), PHONE)
    async with harness.unit_of_work.begin() as tx:
        fingerprint = tx.vault.keyring.fingerprint
        listed = [Entry(fingerprint(each), uuid7(), Right.OBJECTION, CHANNELS[each.type]) for each in (EMAIL, PHONE)]
        await suppression.add(tx.connection, listed, tx.now)
        await consents.withdraw(tx.connection, [(fingerprint(each), "analytics") for each in (EMAIL, PHONE)], tx.now)
    await collected(harness, event)
    await pack(harness)
    [(told,)] = await rows(harness, "SELECT convert_from(value, 'UTF8')::jsonb FROM outbox")
    assert told["outcome"] == "fulfilled"
    content = await fetched(harness, UUID(told["package_id"]))
    checked = check(content)
    assert (checked.faults, checked.items["A15.b"]) == ([], "answered")
    lines = [json.loads(line) for line in unpacked(content)["request.jsonl"].splitlines()]
    assert [(step["what"], step["contact_point"]) for step in lines if "contact_point" in step] == [
        ("suppression.listed", EMAIL.value),
        ("consent.withdrawn", EMAIL.value),
    ], "the number is not proved to be theirs"
    async with harness.unit_of_work.begin() as tx:
        about = event.subject, UUID(told["package_id"])
        fault = await fault_of_package(tx.connection, tx.vault, proof_policy(), *about)
    assert fault is None, "there is nothing in it that could be somebody else's"


async def test_an_export_that_found_nothing_says_so_and_makes_no_package(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(harness, Right.ACCESS)
    async with harness.unit_of_work.begin() as tx:
        await export.finish(harness.fulfilments, [done(event, Operation.EXPORT, TaskOutcome.NO_MATCH)], tx)
    [(told,)] = await rows(harness, "SELECT convert_from(value, 'UTF8')::jsonb FROM outbox")
    assert (told["outcome"], told["package_id"]) == ("no_data", None)


COLLECTED = (("records", "crm"), ("identities", "crm"), ("package", "export"))
SAID = {("identities", "requester"), ("letter", "extension")}


async def holding_everything(open_harness: OpenHarness) -> tuple[Harness, RequestVerified]:
    """An access on its way, of whose subject the vault holds something of every kind."""
    harness = await open_harness(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(harness, Right.ACCESS)
    async with harness.unit_of_work.begin() as tx:
        await fulfilling.begin(Operation.EXPORT, harness.fulfilments, [event], tx)
        sealings = [Sealing(event.subject, kind, source, b"[]") for kind, source in (*COLLECTED, *SAID)]
        await tx.vault.seal(tx.connection, sealings, tx.now)
    return harness, event


async def sealed(harness: Harness) -> set[tuple[Any, ...]]:
    return {*await rows(harness, "SELECT kind, source FROM vault.sealed")}


async def test_a_withdrawn_export_drops_what_was_collected_and_keeps_what_was_said(open_harness: OpenHarness) -> None:
    harness, event = await holding_everything(open_harness)
    async with harness.unit_of_work.begin() as tx:
        await export.cancel([a(RequestWithdrawn, about=event)], tx)
    assert await sealed(harness) == SAID
    assert await harness.states(event.request_id) == {"crm:export": "cancelled"}


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Outcome.PARTIALLY_FULFILLED, {("identities", "crm"), ("package", "export")}),
        (Outcome.REFUSED, set()),
    ],
)
async def test_an_export_that_a_person_closes_leaves_no_pieces_and_if_refused_nothing_of_what_was_collected(
    open_harness: OpenHarness, outcome: Outcome, kept: set[tuple[str, str]]
) -> None:
    harness, event = await holding_everything(open_harness)
    async with harness.unit_of_work.begin() as tx:
        await export.close([a(RequestClosed, about=event, outcome=outcome)], tx)
    assert await sealed(harness) == SAID | kept
    assert await harness.fulfilment_state(event.request_id) == "cancelled"
