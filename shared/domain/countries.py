"""Lists countries and territories by code (ISO 3166-1 alpha-2)."""

from collections.abc import Mapping
from typing import Final

import phonenumbers

_WITHOUT_NUMBERS: Final = frozenset({"AQ", "BV", "GS", "HM", "PN", "TF", "UM"})
_OF_SAINT_HELENA: Final = frozenset({"AC", "TA"})
COUNTRIES: Final = (frozenset(phonenumbers.SUPPORTED_REGIONS) - _OF_SAINT_HELENA) | _WITHOUT_NUMBERS
"""All assigned codes, and ``XK``, which is used for Kosovo everywhere.

Excludes other private-use codes (``XX``, ``ZZ``) and reserved ones (``AC`` of Ascension).
"""

UNION: Final = "EU"
"""The Union itself among the states of a law; it has no authority of its own."""

_MEANT: Final[Mapping[str, str]] = {"UK": "GB", "EL": "GR"}
"""Codes that are often written instead of the right one."""


def country(value: str) -> str:
    """Returns the code; raises ``ValueError`` if no country has it."""
    if value not in COUNTRIES:
        remedy = f"write {_MEANT[value]}" if value in _MEANT else "write its two letters (ISO 3166-1), as DE"
        raise ValueError(f"{value} is no country: {remedy}")
    return value


def stated(value: str) -> str:
    """Returns a code that a client sent; raises ``ValueError`` without quoting it."""
    if value not in COUNTRIES:
        remedy = _MEANT.get(value) or "its two letters in capitals (ISO 3166-1), as DE"
        raise ValueError(f"that is the code of no country: write {remedy}")
    return value


def state(value: str) -> str:
    """Returns the code of a country or of the Union; raises ``ValueError`` for any other."""
    return value if value == UNION else country(value)
