"""Dates that move while a request is open, and a request that is not ours to answer, from the door to the clock."""

import asyncio
import os
import sys
from typing import Any

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from tests.fixtures.live import LONG_AGO, Live, move, recorded


async def detail(client: DsrClient, request_id: str, action: str) -> dict[str, Any]:
    """The detail of the first entry of that action, once it is there."""
    entries = await recorded(client, request_id, action)
    return next(dict(entry["detail"]) for entry in entries if entry["action"] == action)


async def redate(live: Live) -> str:
    """Runs the command as an officer does; returns what it prints."""
    env = {**os.environ, **live.services.env}
    command = (sys.executable, "-m", "services", "redate")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode().strip()


async def test_a_corrected_receipt_moves_the_clock_and_the_warnings_follow(live: Live) -> None:
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(live.somebody().submission("access", assurance=None))
        found = {"received_at": LONG_AGO, "reason": "The letter lay in the mailroom."}
        corrected = await move(officer, request_id, "receipt", **found)
        view = await client.follow(request_id, lambda view: view["warning"] == "overdue_statutory")
        recomputed = await detail(client, request_id, "deadline.recomputed")

    assert (corrected["due_on"], view["due_on"]) == ("2026-02-04", "2026-02-04")
    assert (recomputed["cause"], recomputed["after"]["due_on"]) == ("receipt_corrected", "2026-02-04")
    assert recomputed["before"]["due_on"] > recomputed["after"]["due_on"]


async def test_a_request_that_a_customer_decides_about_is_forwarded_and_no_system_is_touched(live: Live) -> None:
    subject = live.somebody()
    async with live.api() as client, live.api(live.privacy) as officer:
        request_id = await client.submit(subject.submission("erasure", role="processor"))
        waiting = await client.follow(request_id, "awaiting_decision")
        await detail(client, request_id, "deadline.computed")
        forwarded = await move(officer, request_id, "forward", controller="Harbour Cranes Ltd", may_be_named=True)
        stopped = await detail(client, request_id, "deadline.stopped")
        view = await client.follow(request_id, "closed")
        _, letter = (await client.read(request_id, "/letters"))["letters"]

    assert (waiting["role"], forwarded["state"], view["outcome"]) == ("processor", "closed", "forwarded")
    assert (stopped["timeliness"], stopped["due_on"]) == ("on_time", waiting["due_on"])
    assert "Harbour Cranes Ltd" in letter["body"]
    assert view["tasks"] == []
    assert await live.stores.count("calls", "caller = $1", subject.phone) == 50


async def test_the_command_after_a_change_of_policy_redates_what_is_open_and_the_clock_hears_of_it(live: Live) -> None:
    async with live.api() as client:
        request_id = await client.submit(live.somebody().submission("access", assurance=None))
        await detail(client, request_id, "deadline.computed")
        for older in (
            "intake.request SET calc_version = 'rules-0'",
            "deadline.clock SET calc_version = 'rules-0', statutory_due_on = statutory_due_on + 40",
        ):
            await databases.fetch(live.dsn, f"UPDATE {older} WHERE request_id = $1", request_id)
        printed = [await redate(live), await redate(live)]
        recomputed = await detail(client, request_id, "deadline.recomputed")

    assert printed == ["open requests redated: 1", "open requests redated: 0"]
    assert recomputed["cause"] == "policy_changed"
    assert recomputed["before"]["statutory_due_on"] > recomputed["after"]["statutory_due_on"]
    assert recomputed["before"]["due_on"] == recomputed["after"]["due_on"]
