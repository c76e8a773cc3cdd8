"""Roundup, a ticketing system, reached over its REST interface."""

from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.roundup.settings import RoundupSettings

__all__ = ["RoundupAdapter", "RoundupSettings"]
