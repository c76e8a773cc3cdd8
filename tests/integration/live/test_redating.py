"""Dates that move while a request is open, from the command to the clock."""

import asyncio
import os
import sys
from typing import Any

from deploy.demo.client import DsrClient
from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from tests.fixtures.live import Live, recorded


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
