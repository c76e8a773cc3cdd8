"""What integration tests may ask for besides servers: the engine over a database of their own, a broker to kill."""

from tests.fixtures.engine import broker, clock, keys

__all__ = ["broker", "clock", "keys", "open_office", "pulse"]
