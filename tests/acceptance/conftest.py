"""What the scenarios may ask for: intake over a database of the test."""

from tests.fixtures.engine import clock
from tests.fixtures.intake import intake

__all__ = ["clock", "intake"]
