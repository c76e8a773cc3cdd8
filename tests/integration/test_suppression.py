"""The suppression list: checked before a mailing, kept after an erasure, extended by withdrawn consents."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from services.amendment import handlers
from services.amendment import handlers as amendment
from services.amendment.reimported_contacts import Returned
from services.erasure import handlers as erasure
from services.erasure import handlers as kept_of_erasures
from services.intake.access import auth
from services.intake.access.grant import Grant, Power
from services.intake.core.instants import retention
from services.intake.jobs import expiry
from services.intake.queries.suppression_check import MOST
from shared.domain.errors import AnswerMalformed, Unavailable
from shared.domain.events import FulfilmentCompleted, RequestVerified
from shared.domain.holds import HoldMarks
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.domain.policy import read_policy
from shared.domain.policy_files import SuppressionPolicy
from shared.domain.precedence import RequestKind, RequestMarks
from shared.domain.rights import Outcome, Right
from shared.domain.topics import ServiceName
from shared.fulfilment.store import FulfilmentResult
from shared.runtime.liveness import Heartbeats
from shared.runtime.metrics import PEOPLE
from shared.storage import holds, open_requests, suppression
from shared.storage.subject_data import encode_identities
from shared.storage.suppression import CHANNELS, SuppressionEntry
from shared.storage.vault import Sealing
from shared.systems.contract import Checkpoint, Receipt, Result, Task
from tests.fixtures.cdr import SqlEngine, ask, engine, with_tables
from tests.fixtures.downstream import email, task
from tests.fixtures.engine import ACCOUNT, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import PROPOSAL, REASONS, Intake, id_of
from tests.fixtures.policy import changed, signed_policy

ADA = Identity(IdentityType.EMAIL, "ada@example.org", level="L1")
PHONE = Identity(IdentityType.PHONE, "+493023125001", source="crm", level="L1")


async def suppressed(harness: Harness | Intake, *points: Identity) -> UUID:
    """Puts these onto the list for one request."""
    request_id = uuid7()
    async with harness.unit_of_work.begin() as tx:
        prints = [(tx.vault.keyring.fingerprint(point), CHANNELS[point.type]) for point in points]
        entries = [SuppressionEntry(key, request_id, Right.OBJECTION, channel) for key, channel in prints]
        await suppression.add(tx.connection, entries, tx.now)
    return request_id


async def listed(harness: Harness, *points: Identity) -> list[Identity]:
    """Returns the points that are on the list."""
    fingerprint = harness.unit_of_work.vault.keyring.fingerprint
    async with harness.pool.acquire() as connection:
        found = await suppression.listed(connection, [fingerprint(point) for point in points])
    return [point for point in points if fingerprint(point) in found]


async def asking(intake: Intake, database: str, grant: Grant) -> None:
    """Lets the channel have a key of that kind."""
    key = await auth.create(database, "channel", "mailer", intake.clock.now(), grant)
    intake.channel.headers["Authorization"] = f"Bearer {key}"


def question(*emails: str) -> dict[str, object]:
    return {"contact_points": [{"type": "email", "value": email} for email in emails]}


CHECKS = Grant.of("L0", Power.CHECK)
CHECK = "/v1/suppression/check"


async def test_mailing_list_is_checked_in_order(
    intake: Intake, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await suppressed(intake, ADA, PHONE, Identity(IdentityType.EMAIL, "zo\u00eb@example.org"))
    await asking(intake, database, CHECKS)
    points = question(*(f"reader.{number}@example.org" for number in range(MOST)))["contact_points"]
    assert isinstance(points, list)
    points[7] = {"type": "email", "value": " ADA@Example.org"}
    points[4_000] = {"type": "phone", "value": "0049 (30) 231 250 01".replace("(", "").replace(")", "")}
    points[5_000] = {"type": "phone", "value": "030 23125001"}
    points[9_999] = {"type": "email", "value": "zoe\u0308@example.org"}
    asked = {"answer": "suppressed"}
    before = PEOPLE.get_sample_value("dsr_suppression_checked_total", asked) or 0
    answer = await intake.channel.post(CHECK, json={"contact_points": points})
    assert answer.status_code == 200, answer.text
    assert PEOPLE.get_sample_value("dsr_suppression_checked_total", asked) == before + 3
    said = answer.json()["answers"]
    assert [place for place, word in enumerate(said) if word == "suppressed"] == [7, 4_000, 9_999]
    assert (len(said), said[5_000], said[6]) == (MOST, "unreadable", "not_suppressed")
    (entry,) = await intake.unit_of_work.pool.fetch(
        "SELECT detail FROM evidence.entry WHERE request_id = $1", UUID(answer.json()["check_id"])
    )
    assert entry["detail"] == '{"asked":10000,"not_suppressed":9996,"suppressed":3,"unreadable":1}'
    assert not [record for record in caplog.records if "example.org" in record.getMessage()]


async def test_suppression_key_reads_the_list_and_no_customers(intake: Intake, database: str) -> None:
    tenants = replace(CHECKS, tenant="acme")
    for grant, status in ((Grant.of("L3", Power.SUBMIT, Power.FETCH), 403), (tenants, 403), (CHECKS, 200)):
        await asking(intake, database, grant)
        assert (await intake.channel.post(CHECK, json=question("ada@example.org"))).status_code == status
    assert (await intake.officer.post(CHECK, json=question("ada@example.org"))).status_code == 403


async def test_suppression_checks_are_rate_limited(intake: Intake, database: str) -> None:
    await asking(intake, database, CHECKS)
    body = question(*["ada@example.org"] * MOST)
    answers = [await intake.channel.post(CHECK, json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "answers" not in answers[2].json()
    too_many = await intake.channel.post(CHECK, json=question(*["a@example.org"] * (MOST + 1)))
    assert too_many.status_code == 422


@pytest.mark.parametrize("asks", [True, False])
async def test_of_an_erasure_all_that_was_located_is_listed_before_the_key_goes_if_the_policy_says_so(
    open_harness: OpenHarness, monkeypatch: pytest.MonkeyPatch, *, asks: bool
) -> None:
    monkeypatch.setattr(kept_of_erasures, "suppression_policy", lambda _: SuppressionPolicy(erasure=asks))
    only_stated = Identity(IdentityType.PHONE, "+493023125002")
    familys = Identity(IdentityType.EMAIL, "meiers@example.org", source="crm", level="L1", shared=True)
    harness = await open_harness(ScriptedSystem("crm"))
    subject = await harness.subject(ADA, only_stated)
    located = Sealing(subject, "identities", "crm", encode_identities([PHONE, familys]))
    erased = TaskReport(task_id=uuid7(), system="crm", operation="erase", outcome=TaskOutcome.ERASED)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.seal(tx.connection, [located], tx.now)
        done = FulfilmentResult(uuid7(), uuid7(), subject, Right.ERASURE, Operation.ERASE, {}, (erased,))
        await erasure.finish([done], tx)
    assert await listed(harness, ADA, PHONE, only_stated, familys) == ([ADA, PHONE] if asks else [])


@dataclass
class Mailing(ScriptedSystem):
    """A system that would send marketing to these."""

    readers: list[list[Identity]] = field(default_factory=list)
    fails: Exception | None = None

    async def would_get_marketing(self) -> AsyncIterator[Sequence[Sequence[Identity]]]:
        if self.fails:
            raise self.fails
        yield self.readers


async def looked(harness: Harness, *systems: Mailing) -> int:
    """Runs one night in one process; returns the number of stops to do."""
    heartbeats, declared = Heartbeats(), [system.declared for system in systems]
    await Returned(harness.unit_of_work, declared, harness.fulfilments, heartbeats).look()
    count = "SELECT count(*) FROM task WHERE operation = 'suppress' AND state IN ('ready', 'waiting')"
    return int(await harness.pool.fetchval(count))


async def mailing(
    open_harness: OpenHarness, *readers: list[Identity], needs: IdentityType | None = None
) -> tuple[Harness, Mailing]:
    every = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
    system = Mailing("crm", needs=frozenset([needs] if needs else every), readers=[*readers])
    harness = await open_harness(system, service=ServiceName.AMENDMENT)
    harness.concludes = dict.fromkeys(Operation, partial(amendment.finish, harness.fulfilments))
    return harness, system


async def test_listed_address_that_an_import_brought_back_is_stopped(
    open_harness: OpenHarness, clock: SetClock
) -> None:
    boris = Identity(IdentityType.EMAIL, "boris@example.org", source="crm")
    harness, crm = await mailing(open_harness, [boris], [replace(ADA, source="crm"), ACCOUNT])
    crm.answers[Operation.SUPPRESS] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 1, 1))
    request_id = await suppressed(harness, ADA)
    assert [await looked(harness, crm) for _ in range(2)] == [1, 1]
    assert await harness.worker("crm", Operation.SUPPRESS).work() == 1
    [task] = crm.asked
    assert ({each.value for each in task.identities}, task.repair) == ({ADA.value, ACCOUNT.value}, True)
    assert (await harness.actions(request_id))[-1] == "suppression.returned"
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.subject") == 0
    assert await harness.outbox() == []
    clock.pass_by(days=1)
    crm.readers = [[boris]]
    assert await looked(harness, crm) == 0


async def test_unreadable_list_is_reported_until_read(open_harness: OpenHarness, clock: SetClock) -> None:
    def missed() -> float | None:
        return REGISTRY.get_sample_value("dsr_marketing_not_compared", {"system": "crm"})

    harness, crm = await mailing(open_harness, [replace(ADA, source="crm")])
    await suppressed(harness, ADA)
    for crm.fails, found, reported in ((AnswerMalformed("no list"), 0, 1), (Unavailable("away"), 0, 1), (None, 1, 0)):
        assert (await looked(harness, crm), missed()) == (found, reported)
        clock.pass_by(days=1)
    crm.fails = Unavailable("away")
    clock.pass_by(days=2)
    assert (await looked(harness, crm), missed()) == (1, 1)


async def test_listed_number_stops_its_record_without_a_search_by_number(open_harness: OpenHarness) -> None:
    harness, crm = await mailing(open_harness, [replace(ADA, source="crm"), PHONE], needs=IdentityType.EMAIL)
    await suppressed(harness, PHONE)
    assert await looked(harness, crm) == 1
    assert await harness.worker("crm", Operation.SUPPRESS).work() == 1
    assert [each.value for task in crm.asked for each in task.identities] == [ADA.value]


async def test_unstopped_entry_is_forgotten_and_found_again(open_harness: OpenHarness, clock: SetClock) -> None:
    harness, crm = await mailing(open_harness, [replace(ADA, source="crm")])
    await suppressed(harness, ADA)
    for _ in range(2):
        assert await looked(harness, crm) == 1
        assert await harness.pool.fetchval("SELECT count(*) FROM vault.subject") == 1
        clock.pass_by(days=1)


async def test_next_holder_keeps_marketing(open_harness: OpenHarness, clock: SetClock) -> None:
    harness, crm = await mailing(open_harness, [PHONE, ACCOUNT])
    await suppressed(harness, PHONE)
    clock.pass_by(days=2)
    await harness.register(replace(PHONE, valid_from=clock.now() - timedelta(days=1)))
    assert await looked(harness, crm) == 0
    clock.pass_by(days=1)
    await harness.register(replace(PHONE, valid_from=clock.now() - timedelta(days=9)))
    assert await looked(harness, crm) == 1
    assert await harness.worker("crm", Operation.SUPPRESS).work() == 1
    assert {each.type for each in crm.asked[0].identities} == {IdentityType.PHONE, IdentityType.ACCOUNT_ID}


# What goes with a withdrawn consent stays while a hold or a restriction of the same person keeps it.
@pytest.mark.parametrize("opposed", ["held", "restricted"])
async def test_held_data_outlast_a_consent(open_harness: OpenHarness, opposed: str) -> None:
    """Filed by the account, which the person has not stated and the CRM knows."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    site = ScriptedSystem("site", categories=frozenset({"analytics_event"}), erases_by_category=True)
    harness = await open_harness(crm, site, service=ServiceName.AMENDMENT)
    keyring = harness.unit_of_work.vault.keyring
    async with harness.unit_of_work.begin() as tx:
        if opposed == "held":
            held = holds.LegalHold(uuid7(), "LEG-1", "legal", "LITIGATION", [], tx.now, date(2026, 6, 1))
            await holds.place(tx.connection, held, HoldMarks.of(keyring, [ACCOUNT]))
        else:
            await open_requests.enter(
                tx.connection, [(uuid7(), RequestKind.RESTRICTION, RequestMarks.of(keyring, [ACCOUNT]))]
            )
    event = await verified(harness, "analytics")
    for system, operation in (("crm", Operation.LOCATE), ("site", Operation.SUPPRESS)):
        await harness.worker(system, operation).work()
    assert [task.details.get("copy_first") for task in site.asked] == [True]
    assert (await harness.states(event.request_id))["site:suppress"] == "failed"
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'erasure_opposed'")
    assert "its use is stopped" not in said, "no switch of the site is about that"
    assert "analytics_event cannot be marked as unused there: stop its use by hand" in said

    await harness.pool.execute("DELETE FROM vault.hold_mark")
    await harness.pool.execute("DELETE FROM vault.open_request")
    await harness.retry(event.request_id)
    await harness.worker("site", Operation.SUPPRESS).work()
    assert "copy_first" not in site.asked[-1].details
    assert (await harness.states(event.request_id))["site:suppress"] == "done"


async def test_hold_during_a_consent_erasure_stops_the_next_step(open_harness: OpenHarness) -> None:
    gone: list[str] = []
    site = ScriptedSystem("site", categories=frozenset({"analytics_event"}), erases_by_category=True)
    harness = await open_harness(site, service=ServiceName.AMENDMENT)

    async def step_by_step(asked: Sequence[Task], save_progress: Checkpoint) -> Sequence[Result]:
        for step in ("first", "second"):
            await save_progress({task.task_id: {} for task in asked})
            gone.append(step)
            marks = HoldMarks.of(harness.unit_of_work.vault.keyring, asked[0].identities)
            held = holds.LegalHold(
                uuid7(), "LEG-1", "legal", "LITIGATION", [], harness.unit_of_work.clock.now(), date(2026, 6, 1)
            )
            async with harness.pool.acquire() as connection:
                await holds.place(connection, held, marks)
        raise AssertionError("the second step is never taken")

    site.answers[Operation.SUPPRESS] = step_by_step
    await verified(harness, "analytics")
    await harness.worker("site", Operation.SUPPRESS).work()
    assert gone == ["first"]


@pytest.mark.parametrize(
    ("silences", "said"), [({"newsletter"}, "its use is stopped"), (set(), "stop its use by hand")]
)
async def test_stop_before_a_hold_is_in_the_receipt(open_harness: OpenHarness, silences: set[str], said: str) -> None:
    site = ScriptedSystem("site", categories=frozenset({"newsletter"}), erases_by_category=True)
    site.more["marketing_stop_categories"] = frozenset(silences)
    site.answers[Operation.SUPPRESS] = each(lambda task: Receipt(task.task_id, TaskOutcome.AMENDED, 2, 1))
    harness = await open_harness(site, service=ServiceName.AMENDMENT)
    async with harness.unit_of_work.begin() as tx:
        keyring, known = harness.unit_of_work.vault.keyring, Identity(IdentityType.EMAIL, "ada@example.org")
        held = holds.LegalHold(uuid7(), "LEG-1", "legal", "LITIGATION", [], tx.now, date(2026, 6, 1))
        await holds.place(tx.connection, held, HoldMarks.of(keyring, [known]))
    event = await verified(harness, "marketing")
    await harness.worker("site", Operation.SUPPRESS).work()
    assert (await harness.states(event.request_id))["site:suppress"] == "failed"
    why = "SELECT why ->> 'sentence', why ->> 'found', why ->> 'changed' FROM task WHERE failure = 'erasure_opposed'"
    [(sentence, *counts)] = await harness.pool.fetch(why)
    assert said in sentence
    assert counts == ["2", "1"]


# Consent that was withdrawn (Art. 7(3)): what it stops, what goes with it, and the proof that stays.

UNPROVED: dict[str, Any] = {"assurance": None, "proofs": []}
WITHDRAWN: dict[str, Any] = {"right": "consent_withdrawal", "purposes": ["marketing"], "consent_text": "newsletter-4"}


async def test_withdrawal_of_consent_is_due_in_48_hours_and_never_extended(intake: Intake) -> None:
    path = await intake.submit(**WITHDRAWN, **UNPROVED)
    shown = await intake.view(path)
    assert (shown["state"], shown["due_on"]) == ("in_progress", "2026-03-04")
    assert (shown["purposes"], shown["consent_text"]) == (["marketing"], "newsletter-4")
    assert (await intake.published())[-1]["purposes"] == ["marketing"]
    extended = await intake.officer.post(f"{path}/actions/extend", json=PROPOSAL)
    assert (extended.status_code, "consent_withdrawal" in extended.json()["detail"]) == (409, True)
    refused = await intake.officer.post(f"{path}/actions/refuse", json=REASONS["refuse"])
    assert (refused.status_code, "Art. 7(3)" in refused.json()["detail"]) == (409, True)


async def test_a_purpose_that_rests_on_no_consent_is_refused_with_those_that_do(intake: Intake) -> None:
    body = {"right": "consent_withdrawal", "purposes": ["billing"], "subject": {"email": "ada@example.org"}}
    answer = await intake.channel.post("/v1/requests", json=body)
    assert answer.status_code == 400
    assert "write analytics, marketing, support" in answer.text


async def test_who_has_withdrawn_it_which_text_and_when_stays_as_keyed_hashes(intake: Intake) -> None:
    path = await intake.submit(**WITHDRAWN, **UNPROVED)
    pool, keys = intake.unit_of_work.pool, intake.unit_of_work.vault.keyring
    came_at = intake.clock.now()
    async with intake.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [await pool.fetchval("SELECT subject_ref FROM request")], tx.now)
    intake.clock.pass_by(days=1)
    await expiry.end_all(intake.unit_of_work, retention(), lambda: None)
    proof = await pool.fetchrow("""
        SELECT hash, facts ->> 'consent_text', facts -> 'purposes', received_at
        FROM request JOIN request_lookup USING (request_id) WHERE kind = 'email'
    """)
    assert proof is not None
    theirs = keys.fingerprint(Identity(IdentityType.EMAIL, "ada@example.org"))
    assert tuple(proof) == (theirs, "newsletter-4", ["marketing"], came_at)
    [received] = await intake.details(path, "request.received")
    assert (received["purposes"], received["consent_text"]) == (["marketing"], "newsletter-4")


@pytest.mark.parametrize("found", [0, 5])
async def test_unproved_requester_cannot_recognise_customers(intake: Intake, found: int) -> None:
    path = await intake.submit(**WITHDRAWN, **UNPROVED, subject={"email": f"{found}@example.org"})
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


async def test_withdrawal_of_a_consent_that_no_data_rest_on_is_entered_and_says_so(intake: Intake) -> None:
    path = await intake.submit(right="consent_withdrawal", purposes=["analytics"])
    said = {"right": Right.CONSENT_WITHDRAWAL, "operation": Operation.SUPPRESS, "tasks": ()}
    await intake.consume(a(FulfilmentCompleted, about=id_of(path), outcome=Outcome.NO_DATA, **said))
    shown, letter = await intake.view(path), (await intake.letters(path))[-1]
    assert (shown["outcome"], letter["kind"]) == ("fulfilled", "answer")
    assert shown["answer"].startswith("If you had consented: we use no data of yours for that")
    assert "your withdrawal: entered" in letter["body"]
    assert not [untrue for untrue in ("found no data", "in no system", "erased") if untrue in letter["body"]]


async def verified(harness: Harness, *purposes: str) -> RequestVerified:
    harness.concludes = dict.fromkeys(Operation, partial(handlers.finish, harness.fulfilments))
    said: dict[str, Any] = {"right": Right.CONSENT_WITHDRAWAL, "purposes": purposes, "due_on": date(2026, 3, 4)}
    event = a(RequestVerified, subject=await harness.subject(), **said)
    async with harness.unit_of_work.begin() as tx:
        await handlers.begin(harness.fulfilments, [event], tx)
    return event


async def entries_listed(harness: Harness) -> int:
    return int(await harness.pool.fetchval("SELECT count(*) FROM register.suppression"))


async def test_marketing_consent_is_suppressed_and_stopped_everywhere(open_harness: OpenHarness) -> None:
    crm = ScriptedSystem("crm")
    harness = await open_harness(crm, service=ServiceName.AMENDMENT)
    event = await verified(harness, "marketing")
    assert await entries_listed(harness) == 1
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
        each: RequestMarks.of(harness.unit_of_work.vault.keyring, [Identity(IdentityType.EMAIL, f"{who}@example.org")])
        for each, who in ((access, "ada"), (other, "boris"))
    }
    async with harness.unit_of_work.begin() as tx:
        await open_requests.enter(tx.connection, [(each, RequestKind.COPY, marks[each]) for each in marks])
    worker = harness.worker("site", Operation.SUPPRESS)
    await worker.work()
    assert site.asked[0].details["copy_first"] is True
    assert await harness.states(event.request_id) == {"site:suppress": "ready"}
    assert (await harness.actions(event.request_id))[-1] == "task.postponed"
    assert await entries_listed(harness) == 1, "the list does not wait"
    async with harness.unit_of_work.begin() as tx:
        await open_requests.end(tx.connection, [access])
    clock.pass_by(seconds=2)
    await worker.work()
    assert "copy_first" not in site.asked[1].details
    assert await harness.states(event.request_id) == {"site:suppress": "done"}


async def test_other_consent_concerns_its_systems_without_a_listing(open_harness: OpenHarness) -> None:
    harness = await open_harness(ScriptedSystem("crm"), ScriptedSystem("site"), service=ServiceName.AMENDMENT)
    harness.fulfilments.categories_of = {"crm": {"account"}, "site": {"analytics_event"}}
    event = await verified(harness, "analytics")
    assert await harness.states(event.request_id) == {"site:suppress": "ready"}
    harness.fulfilments.categories_of = {}
    nowhere = await verified(harness, "analytics")
    assert await harness.states(nowhere.request_id) == {}
    assert (await harness.outbox())[-1] == "dsr.fulfilment.completed.v1"
    assert await entries_listed(harness) == 0


async def test_data_of_two_consents_go_with_the_second(open_harness: OpenHarness, tmp_path: Path) -> None:
    more = 'purposes.marketing = { basis = "consent" }\npurposes.analytics = { basis = "consent" }'
    changed(tmp_path, 'purposes.marketing = { basis = "consent" }', more, "categories.toml")
    harness = await open_harness(ScriptedSystem("crm"), service=ServiceName.AMENDMENT)
    harness.unit_of_work = replace(harness.unit_of_work, policy=read_policy(tmp_path))
    first, second = [await verified(harness, purpose) for purpose in ("analytics", "marketing")]
    ends = "SELECT details -> 'ends' FROM fulfilment WHERE request_id = $1"
    ended = await harness.pool.fetchval(ends, second.request_id)
    assert ended == ["marketing", "newsletter", "subscription"]
    assert await harness.pool.fetchval(ends, first.request_id) is None, "no system holds what that ends"


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
no_marketing = { marketing = false }
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, marketing = { class = "M" } }
[tables.newsletter]
category = "newsletter"
primary_key = ["id"]
columns = { id = { class = "T" }, email = { class = "A", identity = "email" }, wanted = { class = "M" } }
"""
CUSTOMER_MARK = "no_marketing = { marketing = false }\n"
DATASET_WITH_A_MARK = DATASET.replace(
    'category = "newsletter"', 'category = "newsletter"\nno_marketing = { wanted = false }'
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
    for attempt in (asked, customers.again(asked)):
        receipt = await customers.receipt(attempt)
        assert (receipt.outcome, receipt.by_category) == (TaskOutcome.AMENDED, {"account": 1, "newsletter": 2})
        assert receipt.ended == ("newsletter",)
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
async def test_data_to_erase_after_a_copy_are_marked_immediately_and_counted_later(
    store: tuple[str, SqlEngine], tmp_path: Path, dataset: str, marks: tuple[bool, int], counts: dict[str, int]
) -> None:
    dsn, _ = store
    (tmp_path / "customers.toml").write_text(dataset, encoding="utf-8")
    async with engine(dsn, tmp_path / "customers.toml", {}) as customers:
        asked = withdrawing("newsletter", marketing=True)
        first = replace(asked, details={**asked.details, "copy_first": True})
        assert (await customers.receipt(first)).ended is None
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
