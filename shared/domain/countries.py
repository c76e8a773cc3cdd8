"""The countries and territories of the world by their codes (ISO 3166-1 alpha-2)."""

from collections.abc import Mapping
from typing import Final

import phonenumbers

_WITHOUT_NUMBERS: Final = frozenset({"AQ", "BV", "GS", "HM", "PN", "TF", "UM"})
_OF_SAINT_HELENA: Final = frozenset({"AC", "TA"})
COUNTRIES: Final = (frozenset(phonenumbers.SUPPORTED_REGIONS) - _OF_SAINT_HELENA) | _WITHOUT_NUMBERS
"""Every code that is assigned, and ``XK``: Kosovo has none, and is written so everywhere.

None else that is free for private use (``XX``, ``ZZ``), and none that is only kept (``AC`` of Ascension).
"""

UNION: Final = "EU"
"""The Union itself among the states of a law; it has no authority of its own."""

_MEANT: Final[Mapping[str, str]] = {"UK": "GB", "EL": "GR"}
"""Codes that are often written instead of the right one."""


def country(value: str) -> str:
    """The same; raises ``ValueError`` where it is the code of no country."""
    if value not in COUNTRIES:
        instead = f"write {_MEANT[value]}" if value in _MEANT else "write its two letters (ISO 3166-1), as DE"
        raise ValueError(f"{value} is no country: {instead}")
    return value


def stated(value: str) -> str:
    """The same, as somebody has sent it; raises ``ValueError``, which quotes nothing of that."""
    if value not in COUNTRIES:
        instead = _MEANT.get(value) or "its two letters in capitals (ISO 3166-1), as DE"
        raise ValueError(f"that is the code of no country: write {instead}")
    return value


def state(value: str) -> str:
    """The same; raises ``ValueError`` where it is neither the code of a country nor that of the Union."""
    return value if value == UNION else country(value)
