"""The sweep of the vault finds whatever is left there though nobody needs it, and nothing that somebody does."""

from datetime import timedelta
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.intake import orphans
from services.intake.orphans import GRACE, KINDS
from services.intake.retention import retention
from shared.domain.operations import Operation, TaskOutcome, TaskReport
from shared.runtime.metrics import PEOPLE
from shared.storage.subject_data import SubjectData
from shared.storage.vault import Sealing
from tests.fixtures.intake import Intake, id_of

ERASED = {"outcome": TaskOutcome.ERASED, "found": 1, "changed": 1}
LATER = GRACE + timedelta(seconds=1)


async def swept(intake: Intake) -> dict[str, float]:
    """What the sweep finds, by what it is."""
    async with intake.unit_of_work.pool.acquire() as connection:
        await orphans.count(connection, intake.clock.now(), timedelta(days=14), retention())
    found = {what: PEOPLE.get_sample_value("dsr_vault_orphans", {"what": what}) for what in KINDS}
    return {what: number for what, number in found.items() if number}


async def seal(intake: Intake, path: str, kind: str, source: str = "crm") -> None:
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        await tx.vault.seal(tx.connection, [Sealing(subject, kind, source, b"[]")], tx.now)


async def shred(intake: Intake, path: str) -> None:
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        await tx.vault.shred(tx.connection, [subject], tx.now)


async def erased(intake: Intake, **report: object) -> str:
    """An erasure that is closed, with what its only system reported."""
    path = await intake.submit(right="erasure")
    task = TaskReport.model_validate({"task_id": uuid7(), "system": "crm", "operation": Operation.ERASE, **report})
    await intake.complete(path, operation=Operation.ERASE, tasks=(task,))
    return path


@pytest.mark.parametrize("kind", ["records", "package", "identities"])
async def test_what_a_withdrawn_request_had_collected_is_found_after_an_hour(intake: Intake, kind: str) -> None:
    path = await intake.submit()
    await seal(intake, path, kind)
    (await intake.channel.post(f"{path}/withdraw")).raise_for_status()
    assert await swept(intake) == {}
    intake.clock.at += LATER
    assert await swept(intake) == {"collected": 1}


async def test_pieces_of_an_answered_request_are_found_its_package_and_whom_systems_have_named_stay(
    intake: Intake,
) -> None:
    answered, pieces = await intake.submit(), await intake.submit()
    for kind in ("package", "identities", "letter"):
        await seal(intake, answered, kind)
    await seal(intake, pieces, "records")
    for path in (answered, pieces):
        await intake.complete(path)
    intake.clock.at += LATER
    assert await swept(intake) == {"collected": 1}


async def test_what_an_open_request_has_collected_and_what_was_shredded_is_none(intake: Intake) -> None:
    at_work, shredded = await intake.submit(), await intake.submit(right="erasure")
    for path in (at_work, shredded):
        await seal(intake, path, "records")
    (await intake.channel.post(f"{shredded}/withdraw")).raise_for_status()
    await shred(intake, shredded)
    intake.clock.at += LATER
    assert await swept(intake) == {}


@pytest.mark.parametrize(
    ("report", "needed"),
    [
        (ERASED, False),
        ({"outcome": TaskOutcome.NO_MATCH}, False),
        ({"outcome": TaskOutcome.RETAINED, "ground": "tax_law", "until": "2030-12-31"}, True),
        ({"outcome": None, "failure": "residue_found"}, True),
        ({"outcome": None}, True),
        ({**ERASED, "not_searched": "nothing_to_search_by"}, True),
    ],
)
async def test_the_key_of_an_erasure_that_is_done_is_found_unless_something_is_still_to_be_erased_by_it(
    intake: Intake, report: dict[str, object], *, needed: bool
) -> None:
    path = await erased(intake, **report)
    intake.clock.at += LATER
    assert await swept(intake) == ({} if needed else {"key": 1})
    await shred(intake, path)
    assert await swept(intake) == {}


async def test_the_key_of_what_may_be_resumed_is_needed(intake: Intake, unidentified: str) -> None:
    await intake.unit_of_work.pool.execute("UPDATE request SET \"right\" = 'erasure'")
    intake.clock.at += LATER
    assert (await intake.view(unidentified))["outcome"] == "unidentified"
    assert await swept(intake) == {}


async def test_a_subject_of_whom_nobody_has_asked_anything_is_found(intake: Intake) -> None:
    ref: UUID = uuid7()
    async with intake.unit_of_work.begin() as tx:
        await tx.vault.insert_subjects(tx.connection, [tx.vault.new_subject(ref, SubjectData(), tx.now)])
    assert await swept(intake) == {}
    intake.clock.at += LATER
    assert await swept(intake) == {"no_request": 1}
    assert PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "key"}) == 0
    await intake.unit_of_work.pool.execute("DELETE FROM vault.subject WHERE subject_ref = $1", ref)
    await intake.submit()
    assert await swept(intake) == {}
