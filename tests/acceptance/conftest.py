"""What the scenarios may ask for: intake over a database of the test, and a store of call records."""

from tests.fixtures.cdr import calls, cdr_store, settings
from tests.fixtures.engine import clock, open_harness
from tests.fixtures.intake import intake

__all__ = ["calls", "cdr_store", "clock", "intake", "open_harness", "settings"]
