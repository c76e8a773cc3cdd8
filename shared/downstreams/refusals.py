"""Why a system may not erase what it holds of a subject yet: a closed list, so that no answer repeats free text."""

from typing import Literal

from shared.domain.errors import Refused

Reason = Literal["open_ticket", "open_order", "open_invoice", "active_contract", "dispute", "legal_hold"]


class ErasureRefused(Refused):
    """A record is in a state in which nothing of the subject may be erased; the message says the declared reason."""
