"""Consent that was withdrawn (Art. 7(3)): what it stops, what goes with it, and the proof that stays."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers
from shared.domain.events import FulfilmentCompleted, RequestVerified
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.policy import read_policy
from shared.domain.precedence import Kind, Marks
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.downstreams.contract import Receipt, Task
from shared.storage import open_requests
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import Harness, OpenHarness, ScriptedSystem, SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROPOSAL, REASONS, Intake, id_of
from tests.fixtures.policy import changed, signed_policy

BY_NOBODY: dict[str, Any] = {"assurance": None, "proofs": []}
WITHDRAWN: dict[str, Any] = {"right": "consent_withdrawal", "purposes": ["marketing"], "consent_text": "newsletter-4"}


async def test_withdrawal_of_consent_is_due_in_48_hours_and_never_extended(intake: Intake) -> None:
    path = await intake.submit(**WITHDRAWN, **BY_NOBODY)
    shown = await intake.view(path)
    assert (shown["state"], shown["due_on"]) == ("in_progress", "2026-03-04")
    assert (shown["purposes"], shown["consent_text"]) == (["marketing"], "newsletter-4")
    assert (await intake.published())[-1]["purposes"] == ["marketing"]
    extended = await intake.officer.post(f"{path}/extension", json=PROPOSAL)
    assert (extended.status_code, "consent_withdrawal" in extended.json()["detail"]) == (409, True)
    refused = await intake.officer.post(f"{path}/decision", json={"decision": "refuse", **REASONS["refuse"]})
    assert (refused.status_code, "Art. 7(3)" in refused.json()["detail"]) == (409, True)


async def test_a_purpose_that_rests_on_no_consent_is_refused_with_those_that_do(intake: Intake) -> None:
    body = {"right": "consent_withdrawal", "purposes": ["billing"], "subject": {"email": "ada@example.org"}}
    answer = await intake.channel.post("/v1/requests", json=body)
    assert answer.status_code == 400
    assert "write analytics, marketing, support" in answer.text


async def test_who_has_withdrawn_it_which_text_and_when_stays_as_keyed_hashes(intake: Intake) -> None:
    path = await intake.submit(**WITHDRAWN, **BY_NOBODY)
    pool, keys = intake.unit_of_work.pool, intake.unit_of_work.vault.keyring
    proof = await pool.fetchrow("SELECT withdrawn_by, consent_text, purposes, received_at FROM request")
    assert proof is not None
    theirs = keys.fingerprint(Identity(IdentityType.EMAIL, "ada@example.org"))
    assert tuple(proof) == ([theirs], "newsletter-4", ["marketing"], intake.clock.now())
    [received] = await intake.details(path, "request.received")
    assert (received["purposes"], received["consent_text"]) == (["marketing"], "newsletter-4")


@pytest.mark.parametrize("found", [0, 5])
async def test_unproved_requester_cannot_tell_customers_apart(intake: Intake, found: int) -> None:
    path = await intake.submit(**WITHDRAWN, **BY_NOBODY, subject={"email": f"{found}@example.org"})
    outcome = TaskOutcome.AMENDED if found else TaskOutcome.NO_MATCH
    report = TaskReport(task_id=UUID(id_of(path)), system="crm", operation="suppress", outcome=outcome, found=found)
    said = {"right": Right.CONSENT_WITHDRAWAL, "operation": Operation.SUPPRESS, "tasks": (report,)}
    await intake.consume(
        a(FulfilmentCompleted, about=id_of(path), outcome=Outcome.FULFILLED if found else Outcome.NO_DATA, **said)
    )
    shown, letter = await intake.view(path), (await intake.letters(path))[-1]
    assert (shown["outcome"], shown["tasks"]) == ("fulfilled", [])
    assert "If you had consented: your data is no longer used for that" in shown["answer"]
    assert "your withdrawal: entered" in letter["body"]
    assert "crm" not in letter["body"]


async def verified(harness: Harness, *purposes: str) -> RequestVerified:
    harness.concludes = dict.fromkeys(Operation, partial(handlers.finish, harness.fulfilments))
    said: dict[str, Any] = {"right": Right.CONSENT_WITHDRAWAL, "purposes": purposes, "due_on": date(2026, 3, 4)}
    event = a(RequestVerified, subject=await harness.subject(), **said)
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [event], tx)
    return event


async def listed(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM register.suppression"))


async def test_marketing_consent_is_suppressed_and_stopped_everywhere(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm, service=ServiceName.AMENDMENT)
    event = await verified(harness, "marketing")
    assert await listed(harness) == 1
    assert await harness.worker("crm", Operation.SUPPRESS).work() == 1
    assert crm.asked[0].details["ends"] == ["marketing", "newsletter", "subscription"]
    assert crm.asked[0].details["policy"] == signed_policy().version
    assert (await harness.outbox())[-1] == "dsr.fulfilment.completed.v1"
    assert (await harness.actions(event.request_id))[0] == "suppression.added"


async def test_consent_data_wait_for_a_pending_copy(open_harness: OpenHarness, clock: SetClock) -> None:
    site = ScriptedSystem("site", categories=frozenset({"newsletter"}), erases_by_category=True)
    harness = await open_harness(site, service=ServiceName.AMENDMENT)
    event, other, access = await verified(harness, "marketing"), uuid7(), uuid7()
    marks = {
        each: Marks.of(harness.unit_of_work.vault.keyring, [Identity(IdentityType.EMAIL, f"{who}@example.org")])
        for each, who in ((access, "ada"), (other, "boris"))
    }
    async with harness.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(each, Kind.COPY, marks[each]) for each in marks])
    worker = harness.worker("site", Operation.SUPPRESS)
    await worker.work()
    assert site.asked[0].details["copy_first"] is True
    assert await harness.states(event.request_id) == {"site:suppress": "ready"}
    assert (await harness.actions(event.request_id))[-1] == "task.postponed"
    assert await listed(harness) == 1, "the list does not wait"
    async with harness.unit_of_work.begin() as tx:
        await open_requests.end(tx.connection, [access])
    clock.pass_by(seconds=2)
    await worker.work()
    assert "copy_first" not in site.asked[1].details
    assert await harness.states(event.request_id) == {"site:suppress": "done"}


async def test_other_consent_concerns_its_systems_and_lists_nobody(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"), ScriptedSystem("site"), service=ServiceName.AMENDMENT)
    harness.fulfilments.holds = {"crm": {"account"}, "site": {"analytics_event"}}
    event = await verified(harness, "analytics")
    assert await harness.states(event.request_id) == {"site:suppress": "ready"}
    harness.fulfilments.holds = {}
    nowhere = await verified(harness, "analytics")
    assert await harness.states(nowhere.request_id) == {}
    assert (await harness.outbox())[-1] == "dsr.fulfilment.completed.v1"
    assert await listed(harness) == 0


async def test_data_of_two_consents_go_with_the_second(open_harness: OpenHarness, tmp_path: Path) -> None:
    more = 'purposes.marketing = { basis = "consent" }\npurposes.analytics = { basis = "consent" }'
    changed(tmp_path, 'purposes.marketing = { basis = "consent" }', more, "categories.toml")
    harness = await open_harness(ScriptedSystem("crm"), service=ServiceName.AMENDMENT)
    harness.unit_of_work = replace(harness.unit_of_work, policy=read_policy(tmp_path))
    first, second = [await verified(harness, purpose) for purpose in ("analytics", "marketing")]
    told = "SELECT details -> 'ends' FROM fulfilment WHERE request_id = $1"
    ended = await harness.pool.fetchval(told, second.request_id)
    assert ended == ["marketing", "newsletter", "subscription"]
    assert await harness.pool.fetchval(told, first.request_id) is None, "no system holds what that ends"


SCHEMA = """
CREATE TABLE customer (id int PRIMARY KEY, email text NOT NULL, marketing boolean NOT NULL DEFAULT true);
CREATE TABLE newsletter (id int PRIMARY KEY, email text NOT NULL, wanted boolean NOT NULL DEFAULT true);
INSERT INTO customer VALUES (1, 'anna@example.org'), (2, 'boris@example.org');
INSERT INTO newsletter VALUES (1, 'anna@example.org'), (2, 'anna@example.org'), (3, 'boris@example.org');
"""
DATASET = """
name = "customers"
[tables.customer]
category = "account"
primary_key = ["id"]
marketing = { column = "marketing", value = false }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, marketing = { class = "M" } }
[tables.newsletter]
category = "newsletter"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, wanted = { class = "M" } }
"""
CUSTOMER_MARK = 'marketing = { column = "marketing", value = false }\n'
DATASET_WITH_A_MARK = DATASET.replace(
    'category = "newsletter"', 'category = "newsletter"\nmarketing = { column = "wanted", value = false }'
)


@pytest.fixture
async def store(empty_database: str, tmp_path: Path) -> AsyncIterator[tuple[str, SqlEngine]]:
    """A store with customers and what they subscribed to, and its adapter."""
    await with_tables(empty_database, SCHEMA)
    (tmp_path / "customers.toml").write_text(DATASET, encoding="utf-8")
    async with engine(empty_database, tmp_path / "customers.toml", {}) as customers:
        yield empty_database, customers


def withdrawing(*ends: str, marketing: bool) -> Task:
    details: dict[str, Any] = {"purposes": ["marketing"], "marketing": marketing, "ends": [*ends], "concerns": []}
    return task(Operation.SUPPRESS, email("anna@example.org"), **details)


async def test_marketing_data_go_and_the_customer_stays(store: tuple[str, SqlEngine]) -> None:
    dsn, customers = store
    asked = withdrawing("newsletter", marketing=True)
    for each in (asked, customers.again(asked)):
        receipt = await customers.receipt(each)
        assert (receipt.outcome, receipt.by_category) == (TaskOutcome.AMENDED, {"account": 1, "newsletter": 2})
    assert await ask(dsn, "SELECT email, marketing FROM customer ORDER BY 1") == [
        ("anna@example.org", False),
        ("boris@example.org", True),
    ]
    assert await ask(dsn, "SELECT email FROM newsletter") == [("boris@example.org",)]


@pytest.mark.parametrize(
    ("dataset", "marks", "counts"),
    [
        (DATASET, (False, 0), {"account": 1, "newsletter": 2}),
        (DATASET_WITH_A_MARK, (False, 2), {"account": 1, "newsletter": 2}),
        (DATASET_WITH_A_MARK.replace(CUSTOMER_MARK, ""), (True, 2), {"newsletter": 2}),
    ],
)
async def test_what_is_to_be_erased_after_a_copy_is_marked_at_once_and_counted_when_it_goes(
    store: tuple[str, SqlEngine], tmp_path: Path, dataset: str, marks: tuple[bool, int], counts: dict[str, int]
) -> None:
    dsn, _ = store
    (tmp_path / "customers.toml").write_text(dataset, encoding="utf-8")
    async with engine(dsn, tmp_path / "customers.toml", {}) as customers:
        asked = withdrawing("newsletter", marketing=True)
        first = replace(asked, details={**asked.details, "copy_first": True})
        assert isinstance(await customers.receipt(first), Receipt)
        marked = "SELECT bool_or(marketing), (SELECT count(*) FILTER (WHERE NOT wanted) FROM newsletter) FROM customer"
        assert await ask(dsn, f"{marked} WHERE id = 1") == [marks]
        receipt = await customers.receipt(customers.again(asked))
        assert receipt.by_category == counts
    assert await ask(dsn, "SELECT email FROM newsletter") == [("boris@example.org",)]


async def test_other_purpose_sets_its_mark_and_may_erase_nothing(store: tuple[str, SqlEngine]) -> None:
    dsn, customers = store
    assert (await customers.receipt(withdrawing("analytics_event", marketing=False))).outcome is TaskOutcome.NOT_HELD
    asked = withdrawing("newsletter", marketing=False)
    await customers.receipt(replace(asked, details={**asked.details, "copy_first": True}))
    assert await ask(dsn, "SELECT count(*) FROM newsletter") == [(3,)]
    assert (await customers.receipt(customers.again(asked))).by_category == {"newsletter": 2}
    assert await ask(dsn, "SELECT count(*) FROM customer WHERE marketing") == [(2,)]
    assert await ask(dsn, "SELECT email FROM newsletter") == [("boris@example.org",)]
