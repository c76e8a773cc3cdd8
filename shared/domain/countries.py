"""The countries of the world by their codes (ISO 3166-1 alpha-2), as far as anybody lives there."""

from typing import Final

import phonenumbers

COUNTRIES: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Every country and territory that has telephone numbers; no code that is free for private use (``XX``, ``ZZ``)."""
