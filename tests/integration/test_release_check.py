"""Nothing is handed out that is not shown to be the subject's: not what a system collected, and not a day later."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import REGISTRY
from uuid_utils.compat import uuid7

from services.export import handlers as export
from services.intake import breaches, releases
from services.intake.settings import IntakeSettings
from shared.domain.assignments import AssignedNumber, Line
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import Level
from shared.domain.operations import Operation, TaskOutcome
from shared.domain.release import Fault, Match, Row
from shared.domain.rights import Right
from shared.downstreams.contract import Receipt, Record, Result, Task
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.metrics import PEOPLE
from shared.storage.register import announce, fill
from shared.storage.release import KIND, Manifest
from shared.storage.vault import Sealing, encode_identities
from tests.fixtures.engine import DUE, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.intake import Intake, id_of

EMAIL, PHONE, ACCOUNT = IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID
ADDRESS, NUMBER = Identity(EMAIL, "ada@example.org"), "+442079460000"
ADA, BEN = Identity(ACCOUNT, "C1", source="crm"), Identity(ACCOUNT, "C2", source="crm")
MARCH, MAY = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 5, 1, tzinfo=UTC)


async def register(
    unit_of_work: UnitOfWorkFactory,
    *held: tuple[Identity, datetime, datetime | None],
    line: Line = Line.PERSONAL,
    told: bool = True,
) -> None:
    rows = [AssignedNumber(Identity(PHONE, NUMBER, since, until), who.value, line) for who, since, until in held]
    assert isinstance(unit_of_work.clock, SetClock)
    unit_of_work.clock.pass_by(seconds=1)
    async with unit_of_work.pool.acquire() as connection:
        await fill(connection, unit_of_work.vault.keyring, "crm", "crm", rows, unit_of_work.clock.now())
        if told:
            await announce(connection, unit_of_work.clock.now())


def system(name: str, *matched: Match) -> ScriptedSystem:
    """Whatever it is asked, it gives one call."""
    told = ScriptedSystem(name, needs=frozenset({EMAIL, PHONE}))

    def collect(task: Task) -> Result:
        record = Record("call", name, {"to": "+442079460001"}, matched=matched)
        return Receipt(task.task_id, TaskOutcome.EXPORTED, found=1, remaining=1, records=(record,))

    told.answers[Operation.EXPORT] = each(collect)
    return told


async def access(harness: Harness, *identities: Identity, level: Level = "L2") -> NewFulfilment:
    harness.concludes = {**harness.concludes, Operation.EXPORT: export.finish}
    subject = await harness.subject(*(replace(each, level=level) for each in identities))
    new = NewFulfilment(uuid7(), subject, Right.ACCESS, Operation.EXPORT, DUE)
    await harness.open(new)
    await work(harness)
    return new


async def work(harness: Harness) -> None:
    for name in harness.systems:
        await harness.worker(name, Operation.EXPORT).work()


@pytest.mark.parametrize(
    ("match", "fault"),
    [
        (Match(PHONE, NUMBER, MAY), Fault.ANOTHER_HOLDER),
        (Match(PHONE, "+442079460999", MARCH), Fault.NOT_THEIRS),
        (Match(EMAIL, "emma@example.org"), Fault.NOT_THEIRS),
        (None, Fault.UNTRACED),
    ],
    ids=["the next holder's time", "another number", "another address", "untraced"],
)
async def test_what_a_system_gave_of_somebody_else_makes_no_package_and_waits_for_a_person(
    open_harness: OpenHarness, match: Match | None, fault: Fault
) -> None:
    lying, honest = system("cdr", *((match,) if match else ())), system("tickets", Match(EMAIL, ADDRESS.value))
    harness = await open_harness(lying, honest)
    await register(harness.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    labels = {"service": "export", "result": "withheld"}
    before = REGISTRY.get_sample_value("dsr_release_checks_total", labels) or 0
    new = await access(harness, ADDRESS, ADA, Identity(PHONE, NUMBER, MARCH, MAY, "crm"))
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    assert await harness.states(new.request_id) == {"cdr:export": "failed", "tickets:export": "done"}
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert said == f"nothing was handed out: {fault.sentence}"
    kept = await harness.pool.fetch("SELECT kind, source FROM vault.sealed WHERE kind <> 'identities'")
    assert [tuple(row) for row in kept] == [("records", "tickets")]
    assert "package.withheld" in await harness.actions(new.request_id)
    assert REGISTRY.get_sample_value("dsr_release_checks_total", labels) == before + 1


async def test_what_was_found_by_less_proof_than_its_kind_needs_makes_no_package(open_harness: OpenHarness) -> None:
    harness = await open_harness(system("cdr", Match(PHONE, NUMBER, MARCH)))  # the search has asked for no proof
    await register(harness.unit_of_work, (ADA, MARCH, MAY))
    new = await access(harness, ADDRESS, ADA, Identity(PHONE, NUMBER, MARCH, MAY, "crm"), level="L1")
    assert await harness.outbox() == ["dsr.fulfilment.blocked.v1"]
    said = await harness.pool.fetchval("SELECT why ->> 'sentence' FROM task WHERE failure = 'release_blocked'")
    assert said == f"nothing was handed out: {Fault.NOT_PROVED.sentence}"
    assert "package.withheld" in await harness.actions(new.request_id)


async def test_what_is_tried_again_and_fits_is_a_package_with_what_the_others_gave(open_harness: OpenHarness) -> None:
    lying, honest = system("cdr", Match(PHONE, NUMBER, MAY)), system("tickets", Match(EMAIL, ADDRESS.value))
    harness = await open_harness(lying, honest)
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


async def answered(intake: Intake, *rows: Sequence[Match], level: Level = "L2") -> str:
    """An access that is closed, of whose package these are the rows."""
    path = await intake.submit()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        located = encode_identities(
            replace(each, level=level) for each in (ADA, Identity(PHONE, NUMBER, MARCH, None, "crm"))
        )
        sealing = Sealing(subject, "package", "export", b"everything")
        made = [
            Sealing(subject, "identities", "crm", located),
            Sealing(
                subject, KIND, "export", Manifest(tx.now, Right.ACCESS, [Row("call", row) for row in rows]).sealed()
            ),
        ]
        await tx.vault.seal(tx.connection, [sealing, *made], tx.now)
    await intake.complete(path, operation=Operation.EXPORT, package_id=sealing.sealed_id)
    return path


async def look(intake: Intake) -> int:
    checked = await releases.check_due(intake.unit_of_work, IntakeSettings())
    async with intake.unit_of_work.pool.acquire() as connection:
        await breaches.count(connection, intake.clock.now())
    return checked


def fetched(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, "" if answer.is_success else answer.json()["type"]


def sample_of(metric: str) -> tuple[float | None, float | None]:
    in_time, late = (PEOPLE.get_sample_value(metric, {"in_time": each}) for each in ("yes", "no"))
    return in_time, late


async def test_a_package_is_checked_at_each_download_and_withheld_while_it_does_not_fit(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    withheld = (409, "urn:dsr:problem:withheld")
    assert fetched(await intake.channel.get(f"{path}/package")) == withheld
    view = await intake.view(path)
    assert (view["package"], view["package_withheld"]) == (False, Fault.NOT_AT_THAT_TIME.sentence)
    assert await intake.details(path, "package.withheld") == [{"fault": "not_at_that_time"}]
    assert (await intake.officer.get("/v1/breaches")).json() == {"breaches": []}, "nobody had it"
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert await look(intake) == 1
    assert fetched(await intake.channel.get(f"{path}/package")) == (200, "")
    assert (await intake.view(path))["package_withheld"] is None
    assert (await intake.actions(path)).count("package.released") == 1


async def test_a_package_of_what_is_proved_less_well_than_it_needs_is_withheld(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)], level="L1")
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
    assert await intake.details(path, "package.withheld") == [{"fault": "not_proved"}]


async def test_nothing_of_a_line_that_several_people_use_is_handed_out_to_whoever_holds_it(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None), line=Line.SHARED)
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert (await intake.channel.get(f"{path}/package")).status_code == 200


async def test_one_without_the_values_by_which_its_rows_were_found_is_not_handed_out(intake: Intake) -> None:
    path = await answered(intake, [])
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
    await intake.unit_of_work.pool.execute("DELETE FROM vault.sealed WHERE kind = $1", KIND)
    assert (await intake.channel.get(f"{path}/package")).status_code == 409


async def test_what_was_fetched_and_fits_no_more_once_the_register_has_changed_is_a_breach(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert await look(intake) == 0, "nothing has changed since it was made"
    assert fetched(await intake.channel.get(f"{path}/package")) == (200, "")
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    assert (await look(intake), await look(intake)) == (1, 0)
    [breach] = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    assert (breach["fault"], breach["downloads"], breach["owner"]) == ("another_holder", 1, None)
    found, until = (datetime.fromisoformat(breach[name]) for name in ("found_at", "notify_by"))
    assert until - found == timedelta(hours=72)
    assert sample_of("dsr_breaches_open") == (1, 0)
    assert (await intake.channel.get("/v1/breaches")).status_code == 403
    intake.clock.pass_by(hours=72)
    await look(intake)
    assert sample_of("dsr_breaches_open") == (0, 1)


async def test_a_package_that_was_checked_while_the_register_was_filled_is_checked_again(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), told=False)
    intake.clock.pass_by(seconds=1)
    assert await look(intake) == 0, "nobody has been told"
    intake.clock.pass_by(seconds=1)
    async with intake.unit_of_work.pool.acquire() as connection:
        await announce(connection, intake.clock.now())
    assert (await look(intake), await look(intake)) == (1, 0)


async def test_a_reading_that_changes_nothing_has_no_package_checked_again(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, None))
    assert await look(intake) == 0


async def test_a_breach_is_closed_by_its_owner_who_has_not_handled_the_request(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await intake.officer.get(f"{path}/package")
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    await look(intake)
    [breach] = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    at, closing = f"/v1/breaches/{breach['breach_id']}", {"decision": "authority_notified", "explanation": "Told them."}
    assert (await intake.officer.post(f"{at}/owner")).status_code == 403, "they have handled it"
    assert (await intake.colleague.post(f"{at}/close", json=closing)).status_code == 403, "nobody owns it"
    assert (await intake.colleague.post(f"{at}/owner")).json()["owner"] == "officer-2"
    closed = (await intake.colleague.post(f"{at}/close", json=closing)).json()
    assert (closed["decision"], closed["closed_at"] is None) == ("authority_notified", False)
    assert (await intake.colleague.post(f"{at}/close", json=closing)).status_code == 409
    assert (await intake.colleague.post(f"/v1/breaches/{uuid7()}/owner")).status_code == 404
    await look(intake)
    assert sample_of("dsr_breaches_open") == (0, 0)
    [told] = await intake.details(path, "breach.closed")
    assert (told["decision"], told["in_time"]) == ("authority_notified", True)
    assert "Told them" not in str(await intake.evidence(path))


async def withheld(intake: Intake) -> str:
    """An access of which the register does not bear out the package any more."""
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    await look(intake)
    return path


async def test_whoever_was_told_that_a_copy_is_ready_hears_that_it_is_withheld_and_a_person_is_asked(
    intake: Intake,
) -> None:
    path = await withheld(intake)
    await look(intake)
    view = await intake.view(path)
    assert "withhold" in view["answer"]
    assert "is ready" not in view["answer"]
    assert "…/package/release" in view["waits_for"]
    assert [letter["kind"] for letter in await intake.letters(path)] == ["completion", "package_withheld"]
    refused = [await client.post(f"{path}/package/release") for client in (intake.channel,)]
    assert [answer.status_code for answer in refused] == [403]


async def test_two_persons_who_have_looked_release_a_package_for_the_reason_they_have_seen(intake: Intake) -> None:
    path = await withheld(intake)
    for client, status in ((intake.officer, 200), (intake.officer, 409)):
        assert (await client.post(f"{path}/package/release")).status_code == status
        assert (await intake.channel.get(f"{path}/package")).status_code == 409
    assert (await intake.colleague.post(f"{path}/package/release")).status_code == 200
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    letter = (await intake.letters(path))[-1]
    assert (letter["kind"], "until 16 March 2026" in letter["body"]) == ("package_released", True)
    assert (await intake.view(path))["answer"].startswith("A copy of your personal data is ready")
    await intake.unit_of_work.pool.execute("UPDATE package_release SET fault = 'untraced'")  # another reason
    assert (await intake.channel.get(f"{path}/package")).status_code == 409


async def test_a_package_is_made_anew_and_comes_in_the_place_of_the_one_that_is_withheld(intake: Intake) -> None:
    path = await withheld(intake)
    assert (await intake.officer.post(f"{path}/package/renewal")).status_code == 200
    assert (await intake.officer.post(f"{path}/package/renewal")).status_code == 409
    assert (await intake.types())[-1] == "verified"
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        manifest = Manifest(tx.now, Right.ACCESS, [Row("contact", [Match(EMAIL, ADDRESS.value)])]).sealed()
        pieces = [Sealing(subject, "package", "export", b"less"), Sealing(subject, KIND, "export", manifest)]
        await tx.vault.seal(tx.connection, pieces, tx.now)
    await intake.complete(path, operation=Operation.EXPORT, package_id=pieces[0].sealed_id)
    view = await intake.view(path)
    assert (view["state"], view["package"], "waits_for" in view) == ("closed", True, False)
    assert (await intake.channel.get(f"{path}/package")).content == b"less"
    assert (await intake.letters(path))[-1]["kind"] == "completion"


async def test_how_many_packages_are_withheld_is_counted(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await intake.channel.get(f"{path}/package")
    async with intake.unit_of_work.pool.acquire() as connection:
        await releases.count(connection, intake.clock.now(), IntakeSettings())
    assert PEOPLE.get_sample_value("dsr_packages_withheld") == 1
