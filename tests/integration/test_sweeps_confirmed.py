"""Two persons see what a night would remove and say that it may go; a count that is taken anew needs both again."""

from datetime import date
from uuid import UUID

from uuid_utils.compat import uuid7

from services.erasure.sweeping import store
from services.erasure.sweeping.nights import Known, State, Terms
from services.erasure.sweeping.store import Left
from tests.fixtures.intake import Intake
from tests.integration.test_api import is_problem

SWEEPS = "/v1/sweeps"
TERMS = Terms("P19M", "UTC", "call_start/start_time")
KEY = ("cdr", "acc_cdrs", "calls_19m")


async def stopped(intake: Intake) -> UUID:
    """A night that found too much."""
    left = Left(
        *(KEY, "call_record", uuid7(), "delete", State.STOPPED, date(2026, 3, 2), TERMS, date(2026, 3, 1)),
        *(date(2024, 8, 2), "0123456789ab"),
        due=900,
        of_rows=1_000,
    )
    async with intake.unit_of_work.begin() as tx:
        await store.leave(tx.connection, left)
    return left.sweep_id


async def known(intake: Intake) -> Known:
    """What the sweep reads of it."""
    async with intake.unit_of_work.pool.acquire() as connection:
        return (await store.read(connection))[KEY]


async def test_two_persons_confirm_what_a_night_would_remove(intake: Intake) -> None:
    sweep_id = await stopped(intake)
    assert is_problem(await intake.channel.get(SWEEPS), 403, "forbidden")
    [shown] = (await intake.officer.get(SWEEPS)).raise_for_status().json()["sweeps"]
    assert (shown["sweep_id"], shown["state"], shown["due"], shown["of_rows"]) == (str(sweep_id), "stopped", 900, 1_000)
    confirmation = f"{SWEEPS}/{sweep_id}/confirmation"
    assert is_problem(await intake.channel.post(confirmation), 403, "forbidden")
    assert (await intake.officer.post(confirmation)).raise_for_status().json()["confirmed_by"] == ["officer-1"]
    assert is_problem(await intake.officer.post(confirmation), 409, "same_person")
    assert not (await known(intake)).is_confirmed
    (await intake.colleague.post(confirmation)).raise_for_status()
    assert (await known(intake)).is_confirmed
    assert is_problem(await intake.officer.post(confirmation), 409, "illegal_transition")
    said = "SELECT action FROM evidence.entry WHERE request_id = $1"
    assert [row[0] for row in await intake.unit_of_work.pool.fetch(said, sweep_id)] == ["retention.confirmed"] * 2


async def test_the_first_word_is_gone_with_the_count_that_it_was_about(intake: Intake) -> None:
    before = await stopped(intake)
    (await intake.officer.post(f"{SWEEPS}/{before}/confirmation")).raise_for_status()
    await stopped(intake)
    assert is_problem(await intake.colleague.post(f"{SWEEPS}/{before}/confirmation"), 404, "not_found")
    assert (await known(intake)).confirmed_by == ()
