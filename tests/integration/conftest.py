"""What integration tests may ask for besides servers: the engine, intake or a SQL store of their own, a broker."""

from tests.fixtures.analytics import analytics_store, events
from tests.fixtures.brokers import broker
from tests.fixtures.cdr import calls, cdr_store, settings
from tests.fixtures.customer_store import customer_store, customers
from tests.fixtures.engine import clock, heartbeats, open_harness
from tests.fixtures.intake import intake, partly, unidentified

__all__ = ["broker", "clock", "heartbeats", "intake", "open_harness", "partly", "unidentified"]
__all__ += ["analytics_store", "calls", "cdr_store", "customer_store", "customers", "events", "settings"]
