"""What integration tests may ask for besides servers: the engine or intake over a database of their own, a broker."""

from tests.fixtures.engine import broker, clock, heartbeats, keys, open_harness
from tests.fixtures.intake import intake, partly, unidentified

__all__ = ["broker", "clock", "heartbeats", "intake", "keys", "open_harness", "partly", "unidentified"]
