"""The four downstream systems of the company, running, with the company in them."""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Self

from deploy.demo.company import Company
from deploy.demo.seed import analytics, cdr, crm, tickets
from deploy.demo.seed.analytics import AnalyticsStore
from deploy.demo.seed.cdr import CdrStore
from deploy.local import postgres_databases as databases
from deploy.local.platform import Platform
from deploy.local.process import step
from deploy.local.roundup import Roundup
from deploy.local.server import side_by_side
from deploy.local.tryton import Tryton, install

CRM, CDR, ANALYTICS, TICKETING = "crm", "cdr", "analytics", "ticketing"
SYSTEMS = (CRM, CDR, ANALYTICS, TICKETING)
"""As they are called in ``shared/policy/downstreams.toml``."""

_DATABASE, _CRM_DATABASE, _CDR_DATABASE = "dsr_demo", "dsr_demo_crm", "dsr_demo_cdr"
_ANALYTICS_DATABASE = "dsr_demo_analytics"


class Estate:
    """PostgreSQL, Kafka, CRM, CDR store, website events and ticketing: started side by side, stopped in reverse.

    ``dsn`` is the platform's own database; it, ``crm`` and ``cdr`` are there once all is started.
    """

    dsn: str
    crm: Tryton
    cdr: CdrStore
    analytics: AnalyticsStore

    def __init__(self, directory: Path, company: Company) -> None:
        self._directory = directory
        self._company = company
        shutil.rmtree(directory / "servers" / "kafka", ignore_errors=True)
        self.platform = Platform(directory / "servers")
        self.ticketing = Roundup(directory / TICKETING)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            # Installing the CRM needs no server, so it does not wait for one.
            side_by_side(install, self._start_servers, self._start_ticketing)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def env(self) -> Mapping[str, str]:
        """The variables that the downstreams file names."""
        return {
            "DSR_CRM_URL": self.crm.url,
            "DSR_CRM_DATABASE": _CRM_DATABASE,
            "DSR_CRM_PASSWORD": self.crm.password,
            "DSR_CDR_DSN": self.cdr.privacy,
            "DSR_ANALYTICS_DSN": self.analytics.privacy,
            "DSR_TICKETING_URL": self.ticketing.url,
            "DSR_TICKETING_PASSWORD": self.ticketing.password,
        }

    @property
    def own_files(self) -> tuple[Path, ...]:
        """Returns files that must not contain any sign of a person: topics and logs."""
        return (*(self._directory / "servers" / "kafka" / "data").rglob("*.log"), *self.logs)

    @property
    def logs(self) -> tuple[Path, ...]:
        """The logs of the systems and servers."""
        names = ("crm/tryton", "ticketing/roundup", "servers/postgres/postgres", "servers/kafka/kafka")
        return tuple(self._directory / f"{name}.log" for name in names)

    def _start_servers(self) -> None:
        self._open.enter_context(self.platform)
        server = self.platform.postgres_dsn
        if self.platform.postgres is None:
            self._open.callback(self._leave_nothing)
        databases.wait_for(databases.drop(server, _DATABASE))
        self.dsn = databases.wait_for(databases.create(server, _DATABASE))
        side_by_side(self._start_crm, self._fill_cdr, self._fill_analytics)

    def _leave_nothing(self) -> None:
        """Drop what we made on a server that is not ours."""
        server = self.platform.postgres_dsn
        for name in (_DATABASE, _CRM_DATABASE, _CDR_DATABASE, _ANALYTICS_DATABASE):
            databases.wait_for(databases.drop(server, name))

    def _start_crm(self) -> None:
        self.crm = Tryton(self._directory / CRM, self.platform.postgres_dsn, database=_CRM_DATABASE)
        self._open.enter_context(self.crm)
        databases.wait_for(crm.seed(self.crm, self._company.customers))

    def _fill_cdr(self) -> None:
        server = self.platform.postgres_dsn
        databases.wait_for(databases.drop(server, _CDR_DATABASE))
        self.cdr = databases.wait_for(cdr.create(server, _CDR_DATABASE))
        with step("Recording the calls in the CDR store"):
            databases.wait_for(self.cdr.seed(self._company.calls))

    def _fill_analytics(self) -> None:
        server = self.platform.postgres_dsn
        databases.wait_for(databases.drop(server, _ANALYTICS_DATABASE))
        self.analytics = databases.wait_for(analytics.create(server, _ANALYTICS_DATABASE))
        databases.wait_for(self.analytics.seed(self._company.visits, self._company.subscriptions))

    def _start_ticketing(self) -> None:
        with step("Filling the ticketing system (Roundup)"):
            self.ticketing.load(chain(tickets.people(self._company.customers), tickets.tickets(self._company.tickets)))
        self._open.enter_context(self.ticketing)
