"""A package is handed out five times or kept fourteen days, whichever ends first; then nothing of it is left."""

from datetime import timedelta

from services.intake import orphans, packages
from services.intake.retention import retention
from shared.domain.operations import Operation
from shared.domain.release import Match, Row
from shared.domain.rights import Right
from shared.runtime.metrics import PEOPLE
from shared.storage.release import KIND, Manifest
from shared.storage.vault import Sealing
from tests.fixtures.intake import Intake, id_of

KEPT, TIMES = timedelta(days=14), 5


async def answered(intake: Intake) -> str:
    """An access that is closed, with a package."""
    path = await intake.submit()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        sealing = Sealing(subject, "package", "export", b"everything")
        found = Manifest(tx.now, Right.ACCESS, [Row("ticket", [Match("email", "ada@example.org")])])
        await tx.vault.seal(tx.connection, [sealing, Sealing(subject, KIND, "export", found.sealed())], tx.now)
    await intake.complete(path, operation=Operation.EXPORT, package_id=sealing.sealed_id)
    return path


async def kept(intake: Intake) -> int:
    async with intake.unit_of_work.pool.acquire() as connection:
        await orphans.count(connection, intake.clock.now(), KEPT, retention())
        found: int = await connection.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'package'")
    return found


async def overdue() -> float | None:
    return PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "expired"})


async def test_it_is_handed_out_so_many_times_each_on_record_and_then_removed(intake: Intake) -> None:
    path = await answered(intake)
    statuses = [(await intake.channel.get(f"{path}/package")).status_code for _ in range(TIMES + 1)]
    assert statuses == [200] * TIMES + [410]
    assert await kept(intake) == 0
    actions = await intake.actions(path)
    assert (actions.count("package.downloaded"), actions.count("package.removed")) == (TIMES, 1)
    told = (await intake.channel.get(f"{path}/package")).json()
    assert "14 days and 5 downloads" in told["detail"]
    shown, letter = await intake.view(path), (await intake.letters(path))[-1]
    assert (shown["package"], "no longer kept" in shown["answer"], "is ready" in shown["answer"]) == (
        False,
        True,
        False,
    )
    assert "until 16 March 2026, and 5 times at most" in " ".join(letter["body"].split())


async def test_it_is_removed_when_its_days_are_over_and_not_before(intake: Intake) -> None:
    path = await answered(intake)
    intake.clock.at += KEPT - timedelta(seconds=1)
    assert await packages.remove_due(intake.unit_of_work, KEPT) == 0
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    intake.clock.at += timedelta(seconds=1)
    assert await packages.remove_due(intake.unit_of_work, KEPT) == 2, "it, and by what its rows were found"
    assert await packages.remove_due(intake.unit_of_work, KEPT) == 0
    assert (await intake.channel.get(f"{path}/package")).status_code == 410
    assert await intake.details(path, "package.removed") == [{"reason": "days"}]
    assert "no longer kept" in (await intake.view(path))["answer"]


async def test_one_that_outlives_its_days_is_counted(intake: Intake) -> None:
    await answered(intake)
    intake.clock.at += KEPT + timedelta(minutes=30)
    assert (await kept(intake), await overdue()) == (1, 0)
    intake.clock.at += timedelta(hours=1)
    assert (await kept(intake), await overdue()) == (1, 1)
    await packages.remove_due(intake.unit_of_work, KEPT)
    assert (await kept(intake), await overdue()) == (0, 0)
