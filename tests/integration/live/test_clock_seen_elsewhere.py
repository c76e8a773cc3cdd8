"""What people see of a request that is open: its flag in the CRM until the answer, and a target that was missed."""

import re
from datetime import timedelta
from pathlib import Path

import asyncpg

from deploy.demo.company import Customer, Phone
from deploy.local.platform import Platform
from shared.domain.clock import SystemClock
from shared.domain.time_limit_policy import TIME_LIMITS
from tests.fixtures.live import eventually
from tests.fixtures.stack import seeded_stack
from tests.fixtures.stores import SINCE, Subject
from tests.fixtures.tryton import PASSWORD_ENV, Crm

CRM = """
[crm]
adapter = "tryton"
url = "{url}"
database = "{database}"
login = "{login}"
password_env = "{password_env}"
needs = ["email"]
"""


async def shows(crm: Crm, customer: Customer, expected: set[str]) -> None:
    """Looks at the contact until the CRM shows these requests with it."""

    async def look() -> bool:
        (row,) = await crm.sql("SELECT open_requests FROM party_party WHERE code = $1", customer.code)
        return set((row["open_requests"] or "").split()) == expected

    await eventually(look)


async def test_a_request_in_progress_is_flagged_in_the_crm_until_its_answer_and_a_missed_target_is_shown(
    crm: Crm, platform: Platform, run_folder: Path
) -> None:
    subject, folder = Subject(0), run_folder / "flagged"
    customer = await crm.add(code=subject.account_id, emails=(subject.email,), phones=(Phone(subject.phone, SINCE),))
    neighbour = await crm.add()
    named = {"url": crm.tryton.url, "database": crm.tryton.database, "login": crm.tryton.login}
    folder.mkdir()
    at_once = folder / "time_limits.toml"
    at_once.write_text(re.sub(r"flag_after_minutes = \d+", "flag_after_minutes = 0", TIME_LIMITS.read_text()))
    env = {
        PASSWORD_ENV: crm.tryton.password,
        "DSR_DEADLINE_ON_THE_WAY_SECONDS": "0",
        "DSR_POLICY_TIME_LIMITS": str(at_once),
    }
    async with seeded_stack(platform, folder, 2, CRM.format(**named, password_env=PASSWORD_ENV), env) as running:
        found_late = (SystemClock().now() - timedelta(days=9)).isoformat()
        forgotten = await running.client.submit(Subject(1).submission("access", assurance=None, received_at=found_late))
        holding = await asyncpg.connect(running.stores.dsns["tickets"])
        try:
            async with holding.transaction():  # the ticketing store keeps the request waiting
                await holding.execute("LOCK TABLE ticket IN ACCESS EXCLUSIVE MODE")
                request = await running.client.submit(subject.submission("access"))
                await shows(crm, customer, {request})
                open_view = await running.client.follow(request, "in_progress")
                await shows(crm, neighbour, set())
        finally:
            await holding.close()
        closed_view = await running.client.follow(request, "closed")
        await shows(crm, customer, set())
        missed = await running.client.follow(forgotten, lambda view: view["warning"] == "target_question_sent")

    assert open_view["warning"] is None
    assert closed_view["outcome"] == "fulfilled"
    assert missed["state"] == "awaiting_identity"
