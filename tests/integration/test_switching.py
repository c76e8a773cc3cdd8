"""Switching systems on and off: what a start finds changed, missing or new, and what an operator does about it."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result
from uuid_utils.compat import uuid7

from services.cli import main
from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.storage import systems
from shared.storage.postgres import connected
from shared.storage.systems import ObservedFinding

BUS = '[{name}]\nadapter = "bus"\nneeds = ["email"]\n'


async def start(dsn: str, **declared: str) -> dict[str, str]:
    """Registers the systems as a starting service does; returns their states."""
    async with connected(dsn) as connection:
        known = await systems.register(connection, declared)
    return {name: system.state.value for name, system in known.items()}


async def test_the_first_start_of_all_switches_everything_on_and_later_a_new_one_observes(database: str) -> None:
    assert await start(database, crm="a", cdr="b") == {"crm": "on", "cdr": "on"}
    assert await start(database, crm="a", cdr="b", mailing="c") == {"crm": "on", "cdr": "on", "mailing": "observe"}
    # what only observes may change, or go, as it likes
    assert await start(database, crm="a", cdr="b", mailing="d") == {"crm": "on", "cdr": "on", "mailing": "observe"}
    assert await start(database, crm="a", cdr="b") == {"crm": "on", "cdr": "on", "mailing": "observe"}


async def test_services_that_start_side_by_side_agree(database: str) -> None:
    stood = await asyncio.gather(*(start(database, crm="a", cdr="b") for _ in range(4)))
    assert stood == [{"crm": "on", "cdr": "on"}] * 4


async def test_what_was_changed_is_quarantined_and_stays_so_also_when_it_is_changed_back(database: str) -> None:
    await start(database, crm="a", cdr="b")
    assert await start(database, crm="a", cdr="changed") == {"crm": "on", "cdr": "quarantined"}
    async with connected(database) as connection:
        cdr = (await systems.read_systems(connection))["cdr"]
    assert (cdr.hash, cdr.reason) == ("b", "changed")
    assert await start(database, crm="a", cdr="b") == {"crm": "on", "cdr": "quarantined"}


async def test_a_name_that_was_on_and_is_missing_stops_the_start_until_it_is_retired(database: str) -> None:
    await start(database, crm="a", cdr="b")
    for declared in ({"crm": "a"}, {"crm": "a", "calls": "b"}):  # a rename is no new system either
        with pytest.raises(Misconfigured, match=r"^cdr: in use until now, .*`dsr downstreams retire cdr`"):
            await start(database, **declared)
    async with connected(database) as connection:
        assert "calls" not in await systems.read_systems(connection)
        await systems.retire(connection, "cdr")
    assert await start(database, crm="a", calls="b") == {"crm": "on", "cdr": "retired", "calls": "observe"}
    # who comes back is new
    stood = await start(database, crm="a", calls="b", cdr="b")
    assert stood["cdr"] == "observe"


async def test_a_quarantined_name_is_not_forgotten_either(database: str) -> None:
    await start(database, crm="a", cdr="b")
    async with connected(database) as connection:
        await systems.quarantine(connection, "cdr", "by_a_person")
    with pytest.raises(Misconfigured, match="retire cdr"):
        await start(database, crm="a")


def dsr(*words: str) -> Result:
    return CliRunner().invoke(main.app, ["downstreams", *words])


@pytest.fixture
def file(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A downstreams file with a team that is reached over the bus."""
    path = tmp_path / "downstreams.toml"
    path.write_text(BUS.format(name="billing"))
    monkeypatch.setenv("DSR_POSTGRES_DSN", database)
    monkeypatch.setenv("DSR_WORK_DOWNSTREAMS", str(path))
    return path


async def test_enabling_a_system_lists_the_subjects_it_holds(file: Path, database: str) -> None:
    assert (await asyncio.to_thread(dsr, "list")).output == "no service has started yet\n"
    await start(database, crm="a")
    await asyncio.to_thread(file.write_text, BUS.format(name="crm") + BUS.format(name="billing"))
    await start(database, crm="a", billing="b")
    has, has_not, unknown = (UUID(str(uuid7())) for _ in range(3))
    now = SystemClock().now()
    async with connected(database) as connection:
        await systems.note_findings(
            connection,
            "billing",
            [
                ObservedFinding(has, "located", 3, now),
                ObservedFinding(has_not, "no_match", 0, now),
                ObservedFinding(unknown, "not_searched", 0, now),
            ],
        )
    listed = (await asyncio.to_thread(dsr, "list")).output
    assert "billing  observe since" in listed
    assert "has something of 1 request(s)" in listed
    said = (await asyncio.to_thread(dsr, "on", "billing")).output
    assert said.startswith("billing is on\nwhile it observed it was asked about 3 request(s), and had something of:\n")
    assert f"{has}  located 3" in said
    assert f"{unknown}  not_searched 0" in said
    assert str(has_not) not in said
    assert (await asyncio.to_thread(dsr, "on", "billing")).output == "billing is on\n"
    async with connected(database) as connection:
        assert await systems.to_announce(connection) == ["billing"]
        assert await systems.to_announce(connection) == []


async def test_a_person_quarantines_accepts_and_retires_a_system(file: Path, database: str) -> None:
    await start(database, billing="as it was")
    await asyncio.to_thread(dsr, "quarantine", "billing", "--reason", "wrong_dataset")
    assert "billing  quarantined (wrong_dataset) since" in (await asyncio.to_thread(dsr, "list")).output
    assert (await asyncio.to_thread(dsr, "on", "billing")).output == "billing is on\n"
    refused = await asyncio.to_thread(dsr, "retire", "billing")
    assert "declares [billing]: take it out, or write enabled = false" in str(refused.exception)
    await asyncio.to_thread(file.write_text, BUS.format(name="billing") + "enabled = false\n")
    assert (await asyncio.to_thread(dsr, "retire", "billing")).output == "billing is retired\n"
    again = await asyncio.to_thread(dsr, "quarantine", "billing")
    assert "billing is retired: only a system that is on can be quarantined" in str(again.exception)
    unknown = await asyncio.to_thread(dsr, "retire", "biling")
    assert "no system 'biling' is known here" in str(unknown.exception)


@pytest.mark.parametrize("reason", ["Two words", "ada@example.org", ""])
@pytest.mark.usefixtures("file")
async def test_a_reason_is_one_word_for_it_is_shown_everywhere(reason: str) -> None:
    refused = await asyncio.to_thread(dsr, "quarantine", "billing", "--reason", reason)
    assert refused.exit_code == 2
