"""Why a system may not erase what it holds of a subject yet: a closed list, so that no answer repeats free text."""

from collections.abc import Mapping
from typing import Final, Literal

from shared.domain.errors import Refused

Reason = Literal["open_ticket", "open_order", "open_invoice", "active_contract", "dispute", "legal_hold"]

STATES: Final[Mapping[Reason, str]] = {
    "open_invoice": "invoice_open",
    "active_contract": "contract_active",
    "dispute": "disputed",
    "legal_hold": "held",
}
"""What the rules of the policy call the states that are reasons."""


class ErasureRefused(Refused):
    """A record is in a state in which nothing of the subject may be erased; the message says the declared reason."""
