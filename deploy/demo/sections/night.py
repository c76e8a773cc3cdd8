"""What goes by itself, for people who never asked: the first night counts, and removes nothing."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from deploy.demo.client import DsrClient
from deploy.demo.estate import ANALYTICS, CDR, CRM, SYSTEMS, TICKETING, Estate
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases
from shared.domain.policy import Policy
from shared.domain.sweep_policy import sweep_policy

_AGES = {
    f"{ANALYTICS}.subscription": "last_activity",
    f"{ANALYTICS}.event": "occurred_at",
    f"{CDR}.acc_cdrs": "start_time AT TIME ZONE 'UTC'",
    f"{CDR}.acc": "time AT TIME ZONE 'UTC'",
    f"{CDR}.missed_calls": "time AT TIME ZONE 'UTC'",
}
"""By table, what says how old a row is."""
_PAST = "SELECT count(*) FROM {table} WHERE {age} < $1::date::timestamp AT TIME ZONE $2"
_PAST_IN_CRM = {
    "account_84m": "SELECT count(*) FROM party_party WHERE contract = 'ended' AND contract_ended_on < $1",
    "marketing_36m": """
        SELECT count(*) FROM party_party AS p WHERE contract = 'none' AND last_activity < $1
           AND NOT EXISTS (SELECT FROM number_assignment AS n WHERE n.party = p.id)
    """,
}
_PAST_IN_TICKETING = "SELECT count(*) FROM _issue WHERE _resolved_on < ?"
_WITHIN = 75


async def night(client: DsrClient, estate: Estate, policy: Policy) -> Section:
    """What is past in each system as the sweep has counted it, and as it is counted where it lies."""
    section = Section("What goes by night, for everybody: GET /v1/sweeps")
    share, agree = sweep_policy(), []
    for each in await _counted(client):
        ceiling, system, table = policy.ceilings[each["ceiling"]], str(each["system"]), str(each["table_name"])
        asks = ", if two persons agree" if share.is_too_much(each["due"], each["of_rows"]) else ""
        section.say(f"{system}.{table}: {ceiling.words}")
        section.say(f"  {each['due']:,} of {each['of_rows']:,} are past it: {each['action']} next night{asks}")
        past = await _past(estate, each, policy.zone_of(ceiling))
        agree.append((each["state"], each["gone"], past) == ("dry_run", 0, each["due"]))
    section.find(all(agree) and bool(agree), "the first night counts and removes nothing; so many are in each system")
    return section


async def _counted(client: DsrClient) -> list[dict[str, Any]]:
    """What the sweep has counted, once it has counted everywhere."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(_WITHIN):
        while not {*SYSTEMS} <= {each["system"] for each in found}:
            found = (await client.get("/v1/sweeps")).raise_for_status().json()["data"]
            await asyncio.sleep(0.2)  # the API has no push
    return found


async def _past(estate: Estate, sweep: Mapping[str, Any], zone: str) -> int:
    """How many are past it, where they lie."""
    day = date.fromisoformat(sweep["first_kept"])
    if sweep["system"] == CRM:
        [(past,)] = await databases.fetch(estate.crm.dsn, _PAST_IN_CRM[sweep["ceiling"]], day)
    elif sweep["system"] == TICKETING:
        begins = datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)
        with closing(sqlite3.connect(estate.ticketing.database)) as connection:
            [past] = connection.execute(_PAST_IN_TICKETING, (f"{begins:%Y%m%d%H%M%S}",)).fetchone()
    else:
        dsn = estate.cdr.admin if sweep["system"] == CDR else estate.analytics.admin
        age = _AGES[f"{sweep['system']}.{sweep['table_name']}"]
        [(past,)] = await databases.fetch(dsn, _PAST.format(table=sweep["table_name"], age=age), day, zone)
    return int(past)
