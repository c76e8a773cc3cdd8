"""Further fixtures of integration tests: the engine, intake, and a SQL store per test."""

import pytest

from shared.runtime.liveness import Heartbeats
from tests.fixtures.analytics import analytics_store, events
from tests.fixtures.cdr import calls, cdr_store, settings
from tests.fixtures.command import command
from tests.fixtures.console import console
from tests.fixtures.customer_store import customer_store, customers
from tests.fixtures.explained import explained
from tests.fixtures.intake import intake, partly, unidentified
from tests.fixtures.joined_shop import shop, shop_dsn
from tests.fixtures.mail_server import server
from tests.fixtures.mobile import mobile, mobile_dsn
from tests.fixtures.nights import nights
from tests.fixtures.open_engine import clock, harness, open_harness
from tests.fixtures.recipients import disclosing

__all__ = ["clock", "command", "console", "disclosing", "harness", "intake", "open_harness", "partly", "server"]
__all__ += ["analytics_store", "calls", "cdr_store", "customer_store", "customers", "events", "settings"]
__all__ += ["explained", "mobile", "mobile_dsn", "nights", "shop", "shop_dsn", "unidentified"]


@pytest.fixture
def heartbeats() -> Heartbeats:
    """The heartbeats of a service."""
    return Heartbeats()
