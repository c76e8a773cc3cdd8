"""What is told of numbers brings the register up to date; what contradicts it is a conflict, and changes nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.assignments import AssignedNumber, Assignment, Line
from shared.domain.identities import Identity, IdentityType
from shared.storage.register import fill, register_for
from tests.fixtures.intake import Intake
from tests.fixtures.user_events import Told, binary, emitting

NUMBER, OTHER = "+442079460000", "+442079460001"
JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


def assigned(account: str, since: datetime, until: datetime | None = None, number: str = NUMBER) -> AssignedNumber:
    return AssignedNumber(Identity(IdentityType.PHONE, number, since, until), account)


async def read(intake: Intake, *rows: AssignedNumber, at: datetime | None = None) -> None:
    """A full reading of the register's source."""
    keys, now = intake.unit_of_work.vault.keyring, at or intake.clock.now()
    every = (*rows, assigned("C99", JANUARY, number="+442079460099"))
    async with intake.unit_of_work.pool.acquire() as connection:
        await fill(connection, keys, "crm", "crm", every, now)


@pytest.fixture
async def numbering(intake: Intake, database: str) -> Told:
    return await emitting(intake, database, "numbering")


async def says(numbering: Told, kind: str, account: str, **data: object) -> str:
    token = await numbering.post(subject={"account_id": account, "phones": [{"number": NUMBER}]})
    await numbering.says(kind, token, **data)
    return token


async def known(intake: Intake) -> list[tuple[str, datetime, datetime | None, Line]]:
    """Whose the number was, by the register."""
    keys, number = intake.unit_of_work.vault.keyring, Identity(IdentityType.PHONE, NUMBER)
    async with intake.unit_of_work.pool.acquire() as connection:
        register = await register_for(connection, keys, [number])
    names = {keys.holder("crm", account): account for account in ("C1", "C2")}
    rows: list[Assignment] = sorted(register.of(number), key=lambda each: each.valid_from)
    return [(names[each.holder], each.valid_from, each.valid_to, each.line) for each in rows]


async def conflicts(intake: Intake) -> list[tuple[str, str, str]]:
    """Every conflict that waits for a person: who said so, what the register says instead, and about which token."""
    found = (await intake.officer.get("/v1/assignment-conflicts")).raise_for_status().json()["conflicts"]
    return [(each["system"], each["kind"], each["request_id"]) for each in found]


async def test_a_number_is_assigned_released_and_assigned_to_the_next(intake: Intake, numbering: Told) -> None:
    await read(intake)
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="shared")
    await says(numbering, "number.released", "C1", until=FEBRUARY.isoformat())
    await says(numbering, "number.assigned", "C2", since=FEBRUARY.isoformat(), line="personal")
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.SHARED), ("C2", FEBRUARY, None, Line.PERSONAL)]
    assert await conflicts(intake) == []
    assert await intake.unit_of_work.pool.fetchval("SELECT unannounced FROM register.source")


async def test_a_number_that_is_ported_in_is_assigned_and_one_that_is_ported_out_is_released(
    intake: Intake, numbering: Told
) -> None:
    await read(intake)
    await says(numbering, "number.ported", "C1", direction="in", at=JANUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    await says(numbering, "number.ported", "C1", direction="out", at=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.PERSONAL)]


async def test_what_is_told_twice_changes_nothing(intake: Intake, numbering: Told) -> None:
    await read(intake)
    for _ in range(2):
        await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    for _ in range(2):
        await says(numbering, "number.released", "C1", until=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, FEBRUARY, Line.PERSONAL)]
    assert await conflicts(intake) == []


async def test_a_number_that_the_register_gives_to_somebody_else_is_a_conflict_and_stays_theirs(
    intake: Intake, numbering: Told
) -> None:
    await read(intake, assigned("C1", JANUARY))
    token = await says(numbering, "number.assigned", "C2", since=FEBRUARY.isoformat(), line="personal")
    ported = await says(numbering, "number.ported", "C2", direction="out", at=FEBRUARY.isoformat())
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    assert await conflicts(intake) == [
        ("numbering", "another_holder", token),
        ("numbering", "another_holder", ported),
    ]
    [conflict, _] = (await intake.officer.get("/v1/assignment-conflicts")).json()["conflicts"]
    settled = await intake.officer.post(f"/v1/assignment-conflicts/{conflict['conflict_id']}/settle")
    assert settled.status_code == 200, settled.text


async def test_a_number_released_that_the_register_does_not_know_is_a_conflict(intake: Intake, numbering: Told) -> None:
    await read(intake)
    token = await says(numbering, "number.released", "C1", until=FEBRUARY.isoformat())
    assert await conflicts(intake) == [("numbering", "not_in_register", token)]


async def test_a_register_that_nobody_has_filled_is_not_begun_by_one_number(intake: Intake, numbering: Told) -> None:
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    assert [name for name, _ in await numbering.set_aside()] == ["register_unfilled"]
    assert await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM register.source") == 0


async def test_a_reading_that_began_before_a_number_was_told_of_does_not_end_it_and_the_next_does(
    intake: Intake, numbering: Told
) -> None:
    await read(intake)
    began = intake.clock.at + timedelta(minutes=1)
    intake.clock.at += timedelta(minutes=2)
    await says(numbering, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    await read(intake, at=began)
    assert await known(intake) == [("C1", JANUARY, None, Line.PERSONAL)]
    intake.clock.at += timedelta(minutes=1)
    await read(intake)  # the source does not know it
    assert await known(intake) == [("C1", JANUARY, intake.clock.at, Line.PERSONAL)]


async def test_who_is_not_authoritative_for_numbers_says_nothing_of_them(intake: Intake, database: str) -> None:
    await read(intake)
    selfcare = await emitting(intake, database)
    await says(selfcare, "number.assigned", "C1", since=JANUARY.isoformat(), line="personal")
    assert [name for name, _ in await selfcare.set_aside()] == ["not_declared"]
    assert await known(intake) == []


async def test_what_is_told_of_a_number_beside_the_first_partition_is_set_aside_since_nobody_knows_its_order(
    intake: Intake, numbering: Told
) -> None:
    await read(intake)
    token = await numbering.post(subject={"account_id": "C1", "phones": [{"number": NUMBER}]})
    record = binary("numbering", "number.assigned", {"subject": token, "since": JANUARY.isoformat(), "line": "shared"})
    await numbering.hears(replace(record, partition=1))
    assert [name for name, _ in await numbering.set_aside()] == ["order_unknown"]
    assert await known(intake) == []
    await numbering.hears(record)
    assert await known(intake) == [("C1", JANUARY, None, Line.SHARED)]
