"""Only data shown to be the subject's are handed out, at collection and at each download."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from deploy.demo.seed.cdr import CdrStore
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.events import FulfilmentBlocked
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Match, ReleaseFault, ReleaseRow
from shared.domain.rights import Level, Right
from shared.domain.topics import ServiceName
from shared.fulfilment.store import NewFulfilment
from shared.runtime.metrics import PEOPLE
from shared.storage.register import announce, fill
from shared.storage.release import KIND
from shared.systems.contract import CopiedRecord, Receipt, Result, Task
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, at, call
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.handed_out import (
    ADA,
    ADDRESS,
    BEN,
    EMAIL,
    GIVEN,
    MARCH,
    MAY,
    NUMBER,
    PHONE,
    answered,
    look,
    register,
    seal_package,
)
from tests.fixtures.intake import Intake, downloaded, id_of
from tests.fixtures.packages import exporting, pack
from tests.integration.test_incidents import CLOSING, FACTS, decided


def system(name: str, *matched: Match) -> ScriptedSystem:
    """Whatever it is asked, it gives one call."""
    scripted = ScriptedSystem(name, needs=frozenset({EMAIL, PHONE}))

    def collect(task: Task) -> Result:
        record = CopiedRecord("call", name, {"to": "+442079460001"}, matched=matched)
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, remaining=1, records=(record,))

    scripted.answers[Operation.EXPORT] = each(collect)
    return scripted


async def access(harness: Harness, *identities: Identity, level: Level = "L2") -> NewFulfilment:
    exporting(harness)
    subject = await harness.subject(*(replace(each, level=level) for each in identities))
    new = NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await work(harness)
    return new


async def work(harness: Harness) -> None:
    for name in harness.systems:
        await harness.worker(name, Operation.EXPORT).work()
    await pack(harness)


async def test_foreign_rows_make_no_package(open_harness: OpenHarness) -> None:
    lying, honest = system("cdr", Match(PHONE, NUMBER, MAY)), system("tickets", Match(EMAIL, ADDRESS.value))
    harness = await open_harness(lying, honest, service=ServiceName.EXPORT)
    await register(harness.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    labels = {"service": "export", "result": "withheld"}
    before = REGISTRY.get_sample_value("dsr_release_checks_total", labels) or 0
    new = await access(harness, ADDRESS, ADA, Identity(PHONE, NUMBER, MARCH, MAY, "crm"))
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.states(new.request_id) == {"cdr:export": "failed", "tickets:export": "done"}
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert said == f"nothing was handed out: {ReleaseFault.ANOTHER_HOLDER.sentence}"
    kept = await harness.pool.fetch("SELECT kind, source FROM vault.sealed WHERE kind <> 'identities'")
    assert [tuple(row) for row in kept] == [("records", "tickets")]
    assert "package.withheld" in await harness.actions(new.request_id)
    assert REGISTRY.get_sample_value("dsr_release_checks_total", labels) == before + 1


async def test_what_was_found_by_less_proof_than_its_kind_needs_makes_no_package(open_harness: OpenHarness) -> None:
    system_of_theirs = system("cdr", Match(PHONE, NUMBER, MARCH))  # the search has asked for no proof
    harness = await open_harness(system_of_theirs, service=ServiceName.EXPORT)
    await register(harness.unit_of_work, (ADA, MARCH, MAY))
    new = await access(harness, ADDRESS, ADA, Identity(PHONE, NUMBER, MARCH, MAY, "crm"), level="L1")
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert said == f"nothing was handed out: {ReleaseFault.NOT_PROVED.sentence}"
    assert "package.withheld" in await harness.actions(new.request_id)


@pytest.mark.parametrize(
    ("held", "said"),
    [((ADA, MAY, None), "dsr.fulfilment.completed.v1"), ((BEN, MARCH, MAY), "dsr.fulfilment.blocked.v1")],
    ids=["of record", "unassigned by now"],
)
async def test_two_contact_points_count_as_far_as_the_register_shows_both_as_one_accounts(
    open_harness: OpenHarness, held: tuple[Identity, datetime, datetime | None], said: str
) -> None:
    system_of_theirs = system("cdr", Match(PHONE, NUMBER, MAY))  # the search has asked for no proof
    harness = await open_harness(system_of_theirs, service=ServiceName.EXPORT)
    await register(harness.unit_of_work, held)
    by_both = Identity(PHONE, NUMBER, proved_since=MAY, together=True), replace(ADDRESS, together=True)
    located = (replace(each, level="L1") for each in (ADA, replace(ADDRESS, source="crm")))
    exporting(harness)
    subject = await harness.subject(*(replace(each, level="L2") for each in by_both), *located)
    await harness.open(NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE))
    await work(harness)
    assert await harness.outbox() == [said]


async def test_what_is_tried_again_and_fits_is_a_package_with_what_the_others_gave(open_harness: OpenHarness) -> None:
    lying, honest = system("cdr", Match(PHONE, NUMBER, MAY)), system("tickets", Match(EMAIL, ADDRESS.value))
    harness = await open_harness(lying, honest, service=ServiceName.EXPORT)
    await register(harness.unit_of_work, (ADA, MARCH, MAY))
    new = await access(harness, ADDRESS, ADA, Identity(PHONE, NUMBER, MARCH, MAY, "crm"))
    await register(harness.unit_of_work, (ADA, MARCH, None))
    await harness.retry(new.request_id)
    await work(harness)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1", "dsr.fulfilment.completed.v1"]
    records = await harness.pool.fetchval(
        "SELECT detail::json ->> 'records' FROM evidence.entry WHERE action = 'package.built'"
    )
    assert records == "2"


def fetched(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, "" if answer.is_success else answer.json()["type"]


async def test_a_package_is_checked_at_each_download_and_withheld_while_it_does_not_fit(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    withheld = (409, "urn:dsr:problem:withheld")
    assert fetched(await downloaded(intake.channel, path)) == withheld
    view = await intake.view(path)
    assert (view["package"], view["package_withheld"]) == (False, ReleaseFault.NOT_AT_THAT_TIME.sentence)
    assert await intake.details(path, "package.withheld") == [{"fault": "not_at_that_time"}]
    assert (await intake.officer.get("/v1/incidents")).json()["data"] == [], "it was not downloaded"
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert await look(intake) == 1
    assert fetched(await downloaded(intake.channel, path)) == (200, "")
    assert (await intake.view(path))["package_withheld"] is None
    assert (await intake.actions(path)).count("package.released") == 1


async def test_a_package_of_what_is_proved_less_well_than_it_needs_is_withheld(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)], level="L1")
    assert (await downloaded(intake.channel, path)).status_code == 409
    assert await intake.details(path, "package.withheld") == [{"fault": "not_proved"}]


async def test_shared_line_is_not_handed_out_to_its_holder(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None), line=Line.SHARED)
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert (await downloaded(intake.channel, path)).status_code == 409
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert (await downloaded(intake.channel, path)).status_code == 200


async def test_one_without_the_values_by_which_its_rows_were_found_is_not_handed_out(intake: Intake) -> None:
    path = await answered(intake, [])
    assert (await downloaded(intake.channel, path)).status_code == 409
    await intake.unit_of_work.pool.execute("DELETE FROM vault.sealed WHERE kind = $1", KIND)
    assert (await downloaded(intake.channel, path)).status_code == 409


async def test_a_package_that_was_checked_while_the_register_was_filled_is_checked_again(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), announced=False)
    intake.clock.pass_by(seconds=1)
    assert await look(intake) == 0, "no notice was sent"
    intake.clock.pass_by(seconds=1)
    async with intake.unit_of_work.pool.acquire() as connection:
        await announce(connection, intake.clock.now())
    assert (await look(intake), await look(intake)) == (1, 0)


async def test_a_reading_that_changes_nothing_has_no_package_checked_again(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert await look(intake) == 0


# A shared line: no request copies or changes its calls, and a person decides.
ACCOUNT = Identity(IdentityType.ACCOUNT_ID, "C1", source="crm", level="L2")
LINE = Identity(IdentityType.PHONE, ANNA, level="L2")
PROVED = Identity(IdentityType.PHONE, ANNA, proved_since=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("right", "operation"),
    [
        (Right.ACCESS, Operation.EXPORT),
        (Right.PORTABILITY, Operation.EXPORT),
        (Right.ERASURE, Operation.ERASE),
        (Right.RESTRICTION, Operation.RESTRICT),
    ],
)
async def test_no_request_copies_or_touches_the_calls_of_a_line_that_several_people_use_and_a_person_is_asked(
    open_harness: OpenHarness, cdr_store: CdrStore, calls: SqlEngine, right: Right, operation: Operation
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, ANNA)])
    system = ScriptedSystem("cdr", needs=frozenset({IdentityType.PHONE, IdentityType.SIP_URI}))
    adapter = calls.adapter
    system.answers |= {Operation.RESTRICT: adapter.amend, Operation.EXPORT: adapter.export}
    system.answers |= {Operation.ERASE: adapter.erase}
    harness = exporting(await open_harness(system, service=ServiceName.EXPORT))
    assert isinstance(harness.unit_of_work.clock, SetClock)
    harness.unit_of_work.clock.pass_by(seconds=1)
    held = AssignedNumber(Identity(IdentityType.PHONE, ANNA, at("2026-01-10")), "C1", Line.SHARED)
    async with harness.pool.acquire() as connection:
        keyring, now = harness.unit_of_work.vault.keyring, harness.unit_of_work.clock.now()
        await fill(connection, keyring, "crm", "crm", [held], now)
    before = await ask(cdr_store.admin, "SELECT * FROM acc_cdrs")
    for user in ((ACCOUNT, LINE), (replace(ACCOUNT, value="C2"), LINE), (replace(ACCOUNT, value="C2"), PROVED)):
        why = await refused(harness, right, operation, *user)
        assert why in {"line_shared", "number_not_vouched_for", "assignment_in_doubt"}
        assert (why == "line_shared") is (user[0] is ACCOUNT)
    assert not system.asked
    assert await ask(cdr_store.admin, "SELECT * FROM acc_cdrs") == before
    assert await ask(cdr_store.reader, "SELECT * FROM acc_cdrs") == before


async def refused(harness: Harness, right: Right, operation: Operation, *known: Identity) -> str:
    """Works a task; returns why the calls were not searched."""
    new = NewFulfilment(uuid7(), await harness.subject(*known), right, operation, DUE)
    await harness.open(new)
    await harness.worker("cdr", operation).work()
    await pack(harness)
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    await harness.pool.execute("DELETE FROM outbox")
    why = "SELECT coalesce(receipt::json->>'not_searched', failure) FROM task"
    return str(await harness.pool.fetchval(f"{why} ORDER BY task_id DESC LIMIT 1"))


# What becomes of a package that is withheld, and of one that was handed out and should not have been: an incident.
def sample_of(metric: str) -> tuple[float | None, float | None]:
    in_time, late = (PEOPLE.get_sample_value(metric, {"in_time": each}) for each in ("yes", "no"))
    return in_time, late


async def test_what_was_fetched_and_fits_no_more_once_the_register_has_changed_is_an_incident(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert await look(intake) == 0, "nothing has changed since it was made"
    assert (await downloaded(intake.channel, path)).status_code == 200
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    assert (await look(intake), await look(intake)) == (1, 0)
    [incident] = (await intake.officer.get("/v1/incidents")).json()["data"]
    assert (incident["fault"], incident["downloads"], incident["owner"]) == ("another_holder", 1, None)
    found, until = (datetime.fromisoformat(incident[name]) for name in ("found_at", "notify_by"))
    assert until - found == timedelta(hours=72)
    assert sample_of("dsr_incidents_open") == (1, 0)
    assert (await intake.channel.get("/v1/incidents")).status_code == 403
    intake.clock.pass_by(hours=72)
    await look(intake)
    assert sample_of("dsr_incidents_open") == (0, 1)


async def test_incident_of_a_package_is_closed_by_who_has_not_handled_the_request(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await downloaded(intake.channel, path)
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    await look(intake)
    [incident] = (await intake.officer.get("/v1/incidents")).json()["data"]
    at = f"/v1/incidents/{incident['incident_id']}"
    said = {**FACTS, "found_at": incident["found_at"]}
    (await intake.colleague.post(f"{at}/actions/facts", json=said)).raise_for_status()
    await decided(intake, at, {"risk": "none", "reasons": "The register was wrong."})
    before = await intake.view(path)
    for step in ("release-package", "renew-package"):
        refused = await intake.colleague.post(f"{path}/actions/{step}")
        assert (refused.status_code, "own the incident" in refused.text) == (403, True)
    assert await intake.view(path) == before
    assert (await intake.colleague.post(f"{at}/actions/close", json=CLOSING)).status_code == 200
    await look(intake)
    assert sample_of("dsr_incidents_open") == (0, 0)
    [closure] = await intake.details(path, "incident.closed")
    assert (closure["risk"], closure["in_time"]) == ("none", True)
    assert "register was wrong" not in str(await intake.evidence(path))
    assert (await downloaded(intake.officer, path, "inspection")).status_code == 200
    assert (await intake.officer.post(f"{path}/actions/release-package")).status_code == 202
    assert (await intake.colleague.post(f"{at}/actions/close", json=CLOSING)).status_code == 409


async def withheld(intake: Intake) -> str:
    """An access of which the register does not bear out the package any more."""
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    await look(intake)
    return path


async def test_requester_of_a_ready_copy_is_notified_of_its_withholding(intake: Intake) -> None:
    path = await withheld(intake)
    await look(intake)
    view = await intake.view(path)
    assert "withhold" in view["answer"]
    assert "is ready" not in view["answer"]
    assert view["blocked_by"][0]["actions"] == ["release-package", "renew-package"]
    assert [letter["kind"] for letter in await intake.letters(path)] == ["answer", "update"]
    refused = [await client.post(f"{path}/actions/release-package") for client in (intake.channel,)]
    assert [answer.status_code for answer in refused] == [403]


async def test_two_people_release_a_package_for_the_reason_they_saw(intake: Intake) -> None:
    path = await withheld(intake)
    unseen = await intake.officer.post(f"{path}/actions/release-package")
    assert (unseen.status_code, "look into the package first" in unseen.text) == (409, True)
    seen = await downloaded(intake.officer, path, "inspection")
    assert (seen.content, seen.headers["cache-control"]) == (b"everything", "no-store")
    assert (await downloaded(intake.channel, path, "inspection")).status_code == 403
    for client, status in ((intake.officer, 202), (intake.officer, 409), (intake.colleague, 409)):
        assert (await client.post(f"{path}/actions/release-package")).status_code == status
        assert (await downloaded(intake.channel, path)).status_code == 409
    assert (await downloaded(intake.colleague, path, "inspection")).status_code == 200
    assert (await intake.colleague.post(f"{path}/actions/release-package")).status_code == 200
    looked = [(each["holder"], each["bytes"]) for each in await intake.details(path, "package.viewed")]
    assert looked == [("officer-1", 10), ("officer-2", 10)], "each look is on record, and counts as no download"
    assert await intake.unit_of_work.pool.fetchval("SELECT downloads FROM package") == 0
    assert (await downloaded(intake.channel, path)).status_code == 200
    letter = (await intake.letters(path))[-1]
    assert (letter["kind"], "until 16 March 2026" in letter["body"]) == ("update", True)
    assert (await intake.view(path))["answer"].startswith("A copy of your personal data is ready")
    assert (await downloaded(intake.officer, path, "inspection")).status_code == 409, "there is nothing to look into"
    await intake.unit_of_work.pool.execute("UPDATE approval SET about = about || 'untraced'")  # another reason
    assert (await downloaded(intake.channel, path)).status_code == 409


async def test_first_package_of_an_unsigned_policy_waits_for_two_people(intake: Intake) -> None:
    unsigned = intake.unit_of_work.policy.with_other(sign_offs={})
    object.__setattr__(intake.unit_of_work, "policy", unsigned)  # the policy of a service never changes while it runs
    await register(intake.unit_of_work, (ADA, MARCH, None))
    first, second = [await answered(intake, [Match(PHONE, NUMBER, MAY)]) for _ in range(2)]
    for path in (first, second):
        assert (await downloaded(intake.channel, path)).status_code == 409
        assert (await intake.view(path))["package_withheld"] == ReleaseFault.POLICY_UNSIGNED.sentence
    for client, status in ((intake.officer, 202), (intake.colleague, 200)):
        assert (await downloaded(client, first, "inspection")).status_code == 200
        assert (await client.post(f"{first}/actions/release-package")).status_code == status
    assert [(await downloaded(intake.channel, path)).status_code for path in (first, second)] == [200, 200]
    changed = unsigned.with_other(systems={})
    object.__setattr__(intake.unit_of_work, "policy", changed)
    assert (await downloaded(intake.channel, second)).status_code == 409, "another version of the policy"
    assert (await intake.officer.get("/v1/incidents")).json()["data"] == [], "no data of another person were handed out"


async def test_rebuilt_package_replaces_the_withheld_one(intake: Intake) -> None:
    path = await withheld(intake)
    assert (await intake.officer.post(f"{path}/actions/renew-package")).status_code == 200
    assert (await intake.officer.post(f"{path}/actions/renew-package")).status_code == 409
    verified, owed = (await intake.published())[-2:]
    assert (verified["type"], owed["outstanding"]) == ("dsr.request.verified.v1", ["cdr"])
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        package_id = await seal_package(tx, subject, b"less", ReleaseRow("contact", [Match(EMAIL, ADDRESS.value)]))
    lost = GIVEN.model_copy(update={"outcome": None, "failure": "table_missing"})
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(lost,)))
    assert (await intake.view(path))["tasks"][0]["failure"] == "table_missing"
    retried = await intake.officer.post(f"{path}/actions/retry")
    assert (retried.status_code, (await intake.types())[-1]) == (200, "retry_requested")
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id, tasks=(GIVEN,))
    assert (await intake.published())[-1]["outstanding"] == []
    view = await intake.view(path)
    assert (view["state"], view["package"], view["blocked_by"]) == ("closed", True, [])
    assert (await downloaded(intake.channel, path)).content == b"less"
    assert (await intake.letters(path))[-1]["kind"] == "answer"


async def test_how_many_packages_are_withheld_is_counted(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await downloaded(intake.channel, path)
    await intake.count()
    assert PEOPLE.get_sample_value("dsr_packages_withheld") == 1


async def test_fitting_package_is_read_again_after_a_change_before_its_notice(intake: Intake) -> None:
    pool = intake.unit_of_work.pool
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert (await downloaded(intake.channel, path)).status_code == 200
    rows = await pool.fetch("SELECT sealed_id, content FROM vault.sealed WHERE kind = 'release'")
    await pool.execute("UPDATE vault.sealed SET content = '' WHERE kind = 'release'")  # reading it fails
    assert (await downloaded(intake.channel, path)).status_code == 200
    await pool.executemany("UPDATE vault.sealed SET content = $2 WHERE sealed_id = $1", [tuple(row) for row in rows])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None), announced=False)
    assert (await downloaded(intake.channel, path)).status_code == 409
