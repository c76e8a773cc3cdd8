"""Dates that move while a request is open, and a request that is not ours to answer, from the door to the clock."""

import asyncio
import os
import sys
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from deploy.local.paths import ROOT
from tests.fixtures.live import PATIENCE, Live

_LOOK_EVERY = 0.02


async def timeline(client: httpx.AsyncClient, request_id: str, action: str) -> dict[str, Any]:
    """The detail of the first entry of that action, once it is there."""
    async with asyncio.timeout(PATIENCE):
        while True:
            entries = (await client.get(f"/v1/requests/{request_id}/timeline")).raise_for_status().json()["entries"]
            for entry in entries:
                if entry["action"] == action:
                    return dict(entry["detail"])
            await asyncio.sleep(_LOOK_EVERY)  # the API has no push: following is asking again


async def redate(live: Live) -> str:
    """Runs the command as an officer does; returns what it prints."""
    env = {**os.environ, **live.services.env}
    command = (sys.executable, "-m", "services", "redate")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode().strip()


async def test_a_corrected_receipt_moves_the_clock_and_the_warnings_follow(live: Live) -> None:
    submission = {**live.somebody().submission("access"), "assurance": None}
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(submission)
        found = {"received_at": "2026-01-05T10:00:00Z", "reason": "The letter lay in the mailroom."}
        corrected = await officer.post(f"/v1/requests/{request_id}/receipt", json=found)
        view = await client.follow(request_id, lambda view: view["warning"] == "overdue_statutory")
        recomputed = await timeline(client, request_id, "deadline.recomputed")

    assert (corrected.status_code, corrected.json()["due_on"], view["due_on"]) == (200, "2026-02-04", "2026-02-04")
    assert (recomputed["cause"], recomputed["after"]["due_on"]) == ("receipt_corrected", "2026-02-04")
    assert recomputed["before"]["due_on"] > recomputed["after"]["due_on"]


async def test_a_request_that_a_customer_decides_about_is_forwarded_and_no_system_is_touched(live: Live) -> None:
    subject = live.somebody()
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(subject.submission("erasure", role="processor"))
        waiting = await client.follow(request_id, "awaiting_decision")
        await timeline(client, request_id, "deadline.computed")
        passed_on = {"controller": "Harbour Cranes Ltd", "may_be_named": True}
        forwarded = await officer.post(f"/v1/requests/{request_id}/forward", json=passed_on)
        stopped = await timeline(client, request_id, "deadline.stopped")
        view = await client.follow(request_id, "closed")
        (letter,) = (await client.get(f"/v1/requests/{request_id}/letters")).raise_for_status().json()["letters"]

    assert (waiting["role"], forwarded.json()["state"], view["outcome"]) == ("processor", "closed", "forwarded")
    assert (stopped["timeliness"], stopped["due_on"]) == ("on_time", waiting["due_on"])
    assert "Harbour Cranes Ltd" in letter["body"]
    assert view["tasks"] == []
    assert await live.count("calls", "caller = $1", subject.phone) == 50


async def test_the_command_after_a_change_of_policy_redates_what_is_open_and_the_clock_hears_of_it(live: Live) -> None:
    connection = await asyncpg.connect(live.dsn)
    async with live.api() as client:
        request_id = await client.submit({**live.somebody().submission("access"), "assurance": None})
        await timeline(client, request_id, "deadline.computed")
        try:
            await connection.execute(
                "UPDATE intake.request SET calc_version = 'rules-0' WHERE request_id = $1", UUID(request_id)
            )
            await connection.execute(
                "UPDATE deadline.clock SET calc_version = 'rules-0', statutory_due_on = statutory_due_on + 40"
                " WHERE request_id = $1",
                UUID(request_id),
            )
        finally:
            await connection.close()
        printed = [await redate(live), await redate(live)]
        recomputed = await timeline(client, request_id, "deadline.recomputed")

    assert printed == ["open requests redated: 1", "open requests redated: 0"]
    assert recomputed["cause"] == "policy_changed"
    assert recomputed["before"]["statutory_due_on"] > recomputed["after"]["statutory_due_on"]
    assert recomputed["before"]["due_on"] == recomputed["after"]["due_on"]
