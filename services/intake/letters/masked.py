"""What proves or opens something is read by whom it was sent to, and by nobody of the privacy team; pure.

Whoever has the unused link or code of somebody's letter is that person to us (REQ-S5).
"""

import re
from typing import Final

MASK: Final = "••••"
_LINK: Final = re.compile(r"(/portal/[a-z]{2}/(?:prove|contact)/)[\w-]+")
_OF_LETTERS: Final = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{4}(?: ?[A-Z2-7]{4}){5}(?![A-Z2-7])")
"""The code that opens letters (``correspondence.code``), as it is told or printed."""
_OF_LINK: Final = re.compile(r"(?<!\d)\d{4}[ \u00a0]?\d{4}(?!\d)")
"""The code that stands beside a link."""


def masked(text: str) -> str:
    """The words of a letter, or of a mail that quotes one, without the links and codes in them.

    Eight digits are a code only where such a link stands beside them, else they may be anything.
    """
    without, links = _LINK.subn(rf"\1{MASK}", text)
    if links:
        without = _OF_LINK.sub(MASK, without)
    return _OF_LETTERS.sub(MASK, without)
