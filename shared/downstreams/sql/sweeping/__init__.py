"""The nightly sweep of a SQL store: what is past a ceiling goes, for everybody (Art. 5(1)(e))."""

from shared.downstreams.sql.sweeping.sweep import count, sweep

__all__ = ["count", "sweep"]
