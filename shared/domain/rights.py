"""The rights of a data subject and the ways in which a request can end (GDPR Art. 7(3), 15-21)."""

from enum import StrEnum
from typing import Final, Literal, get_args

Role = Literal["controller", "processor"]
"""Our role for the data of a request: we decide about them, or a customer does."""

TENANT = r"[a-z][a-z0-9-]{0,62}"
"""The name of a tenant: a customer that is the controller of data that we process; never a person's name."""


class Right(StrEnum):
    """The rights of a data subject; the comment names the article."""

    ACCESS = "access"  # Art. 15
    RECTIFICATION = "rectification"  # Art. 16
    ERASURE = "erasure"  # Art. 17
    RESTRICTION = "restriction"  # Art. 18
    PORTABILITY = "portability"  # Art. 20
    OBJECTION = "objection"  # Art. 21
    CONSENT_WITHDRAWAL = "consent_withdrawal"  # Art. 7(3)


class Outcome(StrEnum):
    """The outcome of a request."""

    FULFILLED = "fulfilled"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    REFUSED = "refused"
    NO_DATA = "no_data"
    UNIDENTIFIED = "unidentified"
    WITHDRAWN = "withdrawn"
    FORWARDED = "forwarded"
    ASSISTED = "assisted"  # Art. 28(3)(e): the instruction of a customer who decides about the data was carried out


Level = Literal["L0", "L1", "L2", "L3"]
"""Levels of assurance; ``shared/policy/identity.toml`` defines them."""
LEVELS: tuple[Level, ...] = get_args(Level)
NOTHING: Final[Level] = "L0"
"""The level of an identity that is only stated."""


def less(level: Level) -> Level:
    """Returns the next lower level."""
    return LEVELS[max(0, LEVELS.index(level) - 1)]
