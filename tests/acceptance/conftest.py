"""What the scenarios may ask for: intake over a database of the test."""

from tests.fixtures.engine import clock, open_harness
from tests.fixtures.intake import intake

__all__ = ["clock", "intake", "open_harness"]
