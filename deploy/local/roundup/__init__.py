"""The local ticketing system: Roundup, installed from its own lock, initialised once, copied ever after."""

from deploy.local.roundup.server import Roundup

__all__ = ["Roundup"]
