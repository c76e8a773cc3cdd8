"""The company's customers in the CRM."""

import asyncio
from pathlib import Path

from deploy.local import tryton
from deploy.local.company import Company
from deploy.local.progress import Progress
from deploy.local.seed import kept, rows

_SOURCE = Path(tryton.__file__).parent


def fill(crm: tryton.Tryton, company: Company, progress: Progress) -> None:
    """Bring the customers into a CRM that has just been started for the first time."""
    asyncio.run(_fill(crm, company, progress))


async def _fill(crm: tryton.Tryton, company: Company, progress: Progress) -> None:
    place = kept.folder("crm", kept.digest(_SOURCE))
    if await rows.put_back(crm.dsn, place):
        return
    with progress.step("Entering the customers into the CRM", total=len(company.customers)) as step:
        before = await rows.last_ids(crm.dsn)
        await tryton.seed(crm, company.customers, step)
        await rows.keep(crm.dsn, place, before)
