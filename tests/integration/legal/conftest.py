"""Fixtures of the legal scenarios: intake on a database per test, and a store of call records."""

from tests.fixtures.cdr import calls, cdr_store, settings
from tests.fixtures.intake import intake
from tests.fixtures.open_engine import clock, open_harness

__all__ = ["calls", "cdr_store", "clock", "intake", "open_harness", "settings"]
