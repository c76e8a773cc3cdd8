"""The company's customers and their tickets in the ticketing system."""

import shutil
from itertools import chain

from deploy.local import roundup
from deploy.local.company import Company
from deploy.local.progress import Progress


def fill(worker: roundup.Roundup, company: Company, progress: Progress) -> None:
    """Lay a tracker with people and tickets in the place of the one that is there; it must not run."""
    shutil.rmtree(worker.home, ignore_errors=True)
    total = len(company.customers) + len(company.tickets)
    with progress.step("Filling the ticketing system (Roundup)", total=total) as step:
        records = chain(roundup.people(company.customers), roundup.tickets(company.tickets))
        worker.load(records, keep=True, loaded=step.reach)
