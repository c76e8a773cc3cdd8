"""The CRM: Tryton 8, where a customer is a party with addresses and contact mechanisms."""

from shared.downstreams.tryton.adapter import TrytonAdapter
from shared.downstreams.tryton.settings import TrytonSettings

__all__ = ["TrytonAdapter", "TrytonSettings"]
