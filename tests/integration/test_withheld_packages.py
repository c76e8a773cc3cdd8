"""What becomes of a package that is withheld, and of one that was handed out and should not have been: a breach."""

from datetime import datetime, timedelta

from uuid_utils.compat import uuid7

from services.intake import releases
from services.intake.settings import IntakeSettings
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import Operation
from shared.domain.release import Match, Row
from shared.runtime.metrics import PEOPLE
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
from tests.fixtures.intake import Intake, id_of
from tests.integration.test_breach_record import RECORD


def sample_of(metric: str) -> tuple[float | None, float | None]:
    in_time, late = (PEOPLE.get_sample_value(metric, {"in_time": each}) for each in ("yes", "no"))
    return in_time, late


async def test_what_was_fetched_and_fits_no_more_once_the_register_has_changed_is_a_breach(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert await look(intake) == 0, "nothing has changed since it was made"
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
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


async def test_a_breach_is_closed_by_its_owner_who_has_not_handled_the_request(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await intake.channel.get(f"{path}/package")
    address = {"lines": ["Ada Quarzfels", "Musterstraße 1", "50667 Köln"], "on_file_in": "crm"}
    (await intake.officer.post(f"{path}/postal-address", json=address)).raise_for_status()
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    await look(intake)
    [breach] = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    at = f"/v1/breaches/{breach['breach_id']}"
    closing = {"decision": "no_breach", "explanation": "The register was wrong."}
    assert (await intake.officer.post(f"{at}/owner")).status_code == 403, "they have handled it"
    assert (await intake.colleague.post(f"{at}/close", json=closing)).status_code == 403, "nobody owns it"
    assert (await intake.colleague.post(f"{at}/owner")).json()["owner"] == "officer-2"
    assert "Art. 33(5)" in (await intake.colleague.post(f"{at}/close", json=closing)).text, "nobody says what it was"
    assert (await intake.colleague.put(f"{at}/record", json=RECORD)).status_code == 200
    closed = (await intake.colleague.post(f"{at}/close", json=closing)).json()
    assert (closed["decision"], closed["closed_at"] is None) == ("no_breach", False)
    assert (await intake.colleague.post(f"{at}/close", json=closing)).status_code == 409
    assert (await intake.colleague.post(f"/v1/breaches/{uuid7()}/owner")).status_code == 404
    await look(intake)
    assert sample_of("dsr_breaches_open") == (0, 0)
    [told] = await intake.details(path, "breach.closed")
    assert (told["decision"], told["in_time"]) == ("no_breach", True)
    assert "register was wrong" not in str(await intake.evidence(path))


async def test_the_owner_of_a_breach_neither_releases_its_package_nor_handles_the_request(intake: Intake) -> None:
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await intake.channel.get(f"{path}/package")
    await register(intake.unit_of_work, (ADA, MARCH, MAY))
    await look(intake)
    [breach] = (await intake.officer.get("/v1/breaches")).json()["breaches"]
    assert (await intake.colleague.post(f"/v1/breaches/{breach['breach_id']}/owner")).status_code == 200
    before = await intake.view(path)
    for step in ("package/release", "package/renewal"):
        refused = await intake.colleague.post(f"{path}/{step}")
        assert (refused.status_code, "own the breach" in refused.text) == (403, True)
    assert await intake.view(path) == before
    assert (await intake.officer.get(f"{path}/package/inspection")).status_code == 200
    assert (await intake.officer.post(f"{path}/package/release")).status_code == 200


async def withheld(intake: Intake) -> str:
    """An access of which the register does not bear out the package any more."""
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None))
    await look(intake)
    return path


async def test_requester_of_a_ready_copy_is_told_of_its_withholding(intake: Intake) -> None:
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
    unseen = await intake.officer.post(f"{path}/package/release")
    assert (unseen.status_code, "look into the package first" in unseen.text) == (409, True)
    seen = await intake.officer.get(f"{path}/package/inspection")
    assert (seen.content, seen.headers["cache-control"]) == (b"everything", "no-store")
    assert (await intake.channel.get(f"{path}/package/inspection")).status_code == 403
    for client, status in ((intake.officer, 200), (intake.officer, 409), (intake.colleague, 409)):
        assert (await client.post(f"{path}/package/release")).status_code == status
        assert (await intake.channel.get(f"{path}/package")).status_code == 409
    assert (await intake.colleague.get(f"{path}/package/inspection")).status_code == 200
    assert (await intake.colleague.post(f"{path}/package/release")).status_code == 200
    looked = [(each["holder"], each["bytes"]) for each in await intake.details(path, "package.viewed")]
    assert looked == [("officer-1", 10), ("officer-2", 10)], "each look is on record, and counts as no download"
    assert await intake.unit_of_work.pool.fetchval("SELECT downloads FROM request") == 0
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    letter = (await intake.letters(path))[-1]
    assert (letter["kind"], "until 16 March 2026" in letter["body"]) == ("package_released", True)
    assert (await intake.view(path))["answer"].startswith("A copy of your personal data is ready")
    assert (await intake.officer.get(f"{path}/package/inspection")).status_code == 409, "there is nothing to look into"
    await intake.unit_of_work.pool.execute("UPDATE package_release SET fault = 'untraced'")  # another reason
    assert (await intake.channel.get(f"{path}/package")).status_code == 409


async def test_a_package_is_made_anew_and_comes_in_the_place_of_the_one_that_is_withheld(intake: Intake) -> None:
    path = await withheld(intake)
    assert (await intake.officer.post(f"{path}/package/renewal")).status_code == 200
    assert (await intake.officer.post(f"{path}/package/renewal")).status_code == 409
    verified, owed = (await intake.published())[-2:]
    assert (verified["type"], owed["outstanding"]) == ("dsr.request.verified.v1", ["cdr"])
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        package_id = await seal_package(tx, subject, b"less", Row("contact", [Match(EMAIL, ADDRESS.value)]))
    lost = GIVEN.model_copy(update={"outcome": None, "failure": "table_missing"})
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.EXPORT, tasks=(lost,)))
    assert (await intake.view(path))["tasks"][0]["failure"] == "table_missing"
    retried = await intake.officer.post(f"{path}/decision", json={"decision": "retry"})
    assert (retried.status_code, (await intake.types())[-1]) == (200, "retry_decided")
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id, tasks=(GIVEN,))
    assert (await intake.published())[-1]["outstanding"] == []
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


async def test_fitting_package_is_read_again_after_a_change_before_its_notice(intake: Intake) -> None:
    pool = intake.unit_of_work.pool
    await register(intake.unit_of_work, (ADA, MARCH, None))
    path = await answered(intake, [Match(PHONE, NUMBER, MAY)])
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    rows = await pool.fetch("SELECT sealed_id, content FROM vault.sealed WHERE kind = 'release'")
    await pool.execute("UPDATE vault.sealed SET content = '' WHERE kind = 'release'")  # whoever reads it fails
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    await pool.executemany("UPDATE vault.sealed SET content = $2 WHERE sealed_id = $1", [tuple(row) for row in rows])
    await register(intake.unit_of_work, (ADA, MARCH, MAY), (BEN, MAY, None), told=False)
    assert (await intake.channel.get(f"{path}/package")).status_code == 409
