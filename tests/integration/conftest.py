"""What integration tests may ask for besides servers: the engine over a database of their own, a broker to kill."""

from tests.fixtures.engine import broker, clock, heartbeats, keys, open_harness

__all__ = ["broker", "clock", "heartbeats", "keys", "open_harness"]
