"""What goes by itself, for people who never asked: the first night counts, and removes nothing."""

import asyncio
from datetime import date
from typing import Any

from deploy.demo.client import DsrClient
from deploy.demo.estate import ANALYTICS, CDR, Estate
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases
from services.erasure.sweeping.policy import sweep_policy
from shared.domain.policy import Policy

_AGES = {
    "subscription": "last_activity",
    "event": "occurred_at",
    "acc_cdrs": "start_time AT TIME ZONE 'UTC'",
    "acc": "time AT TIME ZONE 'UTC'",
    "missed_calls": "time AT TIME ZONE 'UTC'",
}
"""By table, what says how old a row is."""
_PAST = "SELECT count(*) FROM {table} WHERE {age} < $1::date::timestamp AT TIME ZONE $2"
_WITHIN = 75


async def night(client: DsrClient, estate: Estate, policy: Policy) -> Section:
    """What is past in each table as the sweep has counted it, and as it is counted in the table itself."""
    section = Section("What goes by night, for everybody: GET /v1/sweeps")
    dsns = {ANALYTICS: estate.analytics.admin, CDR: estate.cdr.admin}
    share, agree = sweep_policy(), []
    for each in await _counted(client, {*dsns}):
        ceiling, table = policy.ceilings[each["ceiling"]], str(each["table_name"])
        asks = ", if two persons agree" if share.is_too_much(each["due"], each["of_rows"]) else ""
        section.say(f"{each['system']}.{table}: {ceiling.words}")
        section.say(f"  {each['due']:,} of {each['of_rows']:,} rows are past it: {each['action']} next night{asks}")
        if each["system"] in dsns:
            query = _PAST.format(table=table, age=_AGES[table])
            values = date.fromisoformat(each["first_kept"]), policy.zone_of(ceiling)
            [(past,)] = await databases.fetch(dsns[each["system"]], query, *values)
            agree.append((each["state"], each["gone"], past) == ("dry_run", 0, each["due"]))
    section.find(
        all(agree) and bool(agree),
        "the first night counts and removes nothing; so many are in the tables of the SQL stores",
    )
    return section


async def _counted(client: DsrClient, systems: set[str]) -> list[dict[str, Any]]:
    """What the sweep has counted, once it has counted in these systems."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(_WITHIN):
        while not systems <= {each["system"] for each in found}:
            found = (await client.get("/v1/sweeps")).raise_for_status().json()["sweeps"]
            await asyncio.sleep(0.2)  # the API has no push
    return found
