"""A package is handed out five times or kept fourteen days, whichever ends first; then nothing of it is left."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from services.intake import orphans, packages
from services.intake.retention import retention
from shared.domain.operations import Operation
from shared.domain.release import Match, Row
from shared.runtime.metrics import PEOPLE
from shared.storage import chunks
from shared.storage.chunks import CHUNK
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.live import eventually

KEPT, TIMES = timedelta(days=14), 5


async def answered(intake: Intake, content: bytes = b"everything") -> str:
    """An access that is closed, with a package."""
    path = await intake.submit()
    async with intake.unit_of_work.begin() as tx:
        subject = await tx.connection.fetchval("SELECT subject_ref FROM request WHERE request_id = $1", id_of(path))
        package_id = await seal_package(tx, subject, content, Row("ticket", [Match("email", "ada@example.org")]))
    await intake.complete(path, operation=Operation.EXPORT, package_id=package_id)
    return path


async def kept(intake: Intake) -> int:
    async with intake.unit_of_work.pool.acquire() as connection:
        await orphans.count(connection, intake.clock.now(), KEPT, retention())
        found: int = await connection.fetchval("SELECT count(*) FROM vault.sealed WHERE kind = 'package'")
    return found


async def overdue() -> float | None:
    return PEOPLE.get_sample_value("dsr_vault_orphans", {"what": "expired"})


@pytest.mark.parametrize(
    ("subject", "said", "told"),
    [
        ({"email": "ada@example.org"}, {}, True),
        ({"email": "ada@example.org"}, {"packages_waived": True}, False),
        ({"email": "bob@example.org"}, {}, False),
    ],
    ids=["theirs", "waived", "another's"],
)
async def test_the_letter_about_an_erasure_says_until_when_an_earlier_copy_stays(
    intake: Intake,
    subject: dict[str, Any],
    said: dict[str, Any],
    told: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    access = await answered(intake)
    intake.clock.pass_by(days=3)
    erasure = await intake.submit(right="erasure", subject=subject, **said)
    await intake.complete(erasure, operation=Operation.ERASE)
    letters = (await intake.officer.get(f"{erasure}/letters")).raise_for_status().json()["letters"]
    body = " ".join(letters[-1]["body"].split())
    assert ("stays available to you until 16 March 2026 at the latest; then we delete it" in body) is told
    intake.clock.pass_by(days=10)
    assert (await intake.channel.get(f"{access}/package")).status_code == 200
    intake.clock.pass_by(days=1, hours=1)
    await packages.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert (await intake.channel.get(f"{access}/package")).status_code == 410


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


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_the_last_download_removes_it_also_where_somebody_has_the_request_in_hand_at_its_end(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, *, hangs_up: bool
) -> None:
    """Also where whoever has the last byte hangs up at once, as a command does."""
    path, read, pool = await answered(intake), chunks.read, intake.unit_of_work.pool
    for _ in range(TIMES - 1):
        await intake.channel.get(f"{path}/package")
    locked = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with pool.acquire() as other:
        in_hand = other.transaction()

        async def taking_it(*piece: Any) -> AsyncIterator[bytes]:
            async for chunk in read(*piece):
                yield chunk
            await in_hand.start()
            await other.execute("SELECT FROM request WHERE request_id = $1 FOR UPDATE", id_of(path))

        monkeypatch.setattr(chunks, "read", taking_it)
        last = asyncio.create_task(intake.channel.get(f"{path}/package"))
        while not (last.done() or await pool.fetch(locked)):
            await asyncio.wait({last}, timeout=0.01)
        if hangs_up:
            last.cancel()
            await asyncio.wait({last})
        await in_hand.rollback()
        assert hangs_up or (await last).status_code == 200

    async def gone() -> bool:
        return await kept(intake) == 0

    await eventually(gone, within=5)


def bytes_from(first: int) -> dict[str, str]:
    return {"Range": f"bytes={first}-"}


async def test_a_download_that_broke_off_is_continued_and_counted_once(intake: Intake) -> None:
    content = bytes(range(256)) * (CHUNK // 128)  # two chunks
    path = await answered(intake, content + b"the end")
    whole, first = await intake.channel.get(f"{path}/package"), {"Range": f"bytes=0-{CHUNK}"}
    broken = await intake.channel.get(f"{path}/package", headers=first)
    assert (whole.status_code, broken.status_code, whole.content[: CHUNK + 1]) == (200, 206, broken.content)
    assert broken.headers["Content-Range"] == f"bytes 0-{CHUNK}/{len(whole.content)}"
    etag = {"If-Range": whole.headers["ETag"]}
    rest = [await intake.channel.get(f"{path}/package", headers={**bytes_from(CHUNK + 1), **etag})]
    assert broken.content + rest[0].content == whole.content
    assert len(await intake.details(path, "package.downloaded")) == 2, "the one in a piece, and the one in two"
    again = await intake.channel.get(f"{path}/package", headers=bytes_from(CHUNK + 1))
    assert (again.status_code, len(await intake.details(path, "package.downloaded"))) == (206, 3), "it was over"
    other = await intake.channel.get(f"{path}/package", headers={**bytes_from(5), "If-Range": '"another"'})
    assert (other.status_code, len(other.content)) == (200, len(whole.content))
    past = await intake.channel.get(f"{path}/package", headers=bytes_from(len(whole.content)))
    assert (past.status_code, past.headers["Content-Range"]) == (416, f"bytes */{len(whole.content)}")


async def test_the_last_download_can_be_continued_for_a_day_and_then_the_package_is_gone(intake: Intake) -> None:
    path = await answered(intake)
    for _ in range(TIMES):
        assert (await intake.channel.get(f"{path}/package", headers={"Range": "bytes=0-3"})).content == b"ever"
    assert (await intake.channel.get(f"{path}/package")).status_code == 410
    assert (await intake.channel.get(f"{path}/package", headers={"Range": "bytes=4-5"})).content == b"yt"
    await packages.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert await kept(intake) == 1
    intake.clock.at += packages.CONTINUED
    assert (await intake.channel.get(f"{path}/package", headers=bytes_from(4))).status_code == 410
    await packages.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert await kept(intake) == 0


async def test_it_is_removed_when_its_days_are_over_and_not_before(intake: Intake) -> None:
    path = await answered(intake)
    intake.clock.at += KEPT - timedelta(seconds=1)
    assert await packages.remove_due(intake.unit_of_work, KEPT, TIMES) == 0
    assert (await intake.channel.get(f"{path}/package")).status_code == 200
    intake.clock.at += timedelta(seconds=1)
    assert await packages.remove_due(intake.unit_of_work, KEPT, TIMES) == 2, "it, and by what its rows were found"
    assert await packages.remove_due(intake.unit_of_work, KEPT, TIMES) == 0
    assert (await intake.channel.get(f"{path}/package")).status_code == 410
    assert await intake.details(path, "package.removed") == [{"reason": "days"}]
    assert "no longer kept" in (await intake.view(path))["answer"]


async def test_one_that_outlives_its_days_is_counted(intake: Intake) -> None:
    await answered(intake)
    intake.clock.at += KEPT + timedelta(minutes=30)
    assert (await kept(intake), await overdue()) == (1, 0)
    intake.clock.at += timedelta(hours=1)
    assert (await kept(intake), await overdue()) == (1, 1)
    await packages.remove_due(intake.unit_of_work, KEPT, TIMES)
    assert (await kept(intake), await overdue()) == (0, 0)
