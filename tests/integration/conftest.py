"""What integration tests may ask for besides servers: the engine over a database of their own."""

from tests.fixtures.engine import clock, keys, open_office, pulse

__all__ = ["clock", "keys", "open_office", "pulse"]
