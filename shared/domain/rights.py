"""The rights of a data subject and the ways in which a request can end (GDPR Art. 7(3), 15-21)."""

from enum import StrEnum
from typing import Final, Literal, get_args

Role = Literal["controller", "processor"]
"""What we are for the data of a request: we decide about them, or a customer of ours does."""

TENANT = r"[a-z][a-z0-9-]{0,62}"
"""The name of a tenant, a customer of ours who decides about data that we only process: no person's."""


class Right(StrEnum):
    """What a data subject may ask for; the comment names the article."""

    ACCESS = "access"  # Art. 15
    RECTIFICATION = "rectification"  # Art. 16
    ERASURE = "erasure"  # Art. 17
    RESTRICTION = "restriction"  # Art. 18
    PORTABILITY = "portability"  # Art. 20
    OBJECTION = "objection"  # Art. 21
    CONSENT_WITHDRAWAL = "consent_withdrawal"  # Art. 7(3)


class Outcome(StrEnum):
    """How a request ended, as the subject and the register are told."""

    FULFILLED = "fulfilled"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    REFUSED = "refused"
    NO_DATA = "no_data"
    UNIDENTIFIED = "unidentified"
    WITHDRAWN = "withdrawn"
    FORWARDED = "forwarded"
    ASSISTED = "assisted"  # Art. 28(3)(e): the instruction of a customer who decides about the data was carried out


Level = Literal["L0", "L1", "L2", "L3"]
"""What each means: see ``shared/policy/identity.toml``."""
LEVELS: tuple[Level, ...] = get_args(Level)
NOTHING: Final[Level] = "L0"
"""Of what is only stated."""


def less(level: Level) -> Level:
    """One level less."""
    return LEVELS[max(0, LEVELS.index(level) - 1)]
