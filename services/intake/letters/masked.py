"""What proves or opens something is read by whom it was sent to, and by nobody of the privacy team; pure.

Whoever has the unused link or code of somebody's letter is that person to us (REQ-S5).
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

MASK: Final = "••••"
_LINK: Final = re.compile(r"(/portal/[a-z]{2}/(?:prove|contact)/)[\w-]+")
_TOKEN: Final = 22
"""Characters of the token of a link (128 bits)."""
_WHOLE: Final = re.compile(rf"(/portal/[a-z]{{2}}/prove/)[\w-]{{{_TOKEN}}}(?![\w-])")
_BREAK: Final = re.compile(r"[\s>|\u200b\u00ad]+")
_RUN: Final = re.compile(rf"[A-Za-z0-9_-]{{{_TOKEN},}}")
_OF_LETTERS: Final = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24}(?![A-Z2-7])")
"""The code that opens letters (``correspondence.code``)."""
_GREETING: Final = re.compile(r'<p class="dear">.*?</p>\n?', re.DOTALL)
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


def unnamed(html: str) -> str:
    """A letter without the greeting that names its reader."""
    return _GREETING.sub("", html)


def tokens_shown(text: str) -> set[str]:
    """What may be the token of a link in words that are shown, however it is spelled, but in a link that is masked.

    A mail filter writes a link anew, a mail program breaks it over quoted lines, and a token may stand by itself.
    """
    return {each for spelled in _spellings(_WHOLE.sub(MASK, text)) for each in _windows(spelled)}


def _spellings(text: str) -> Iterator[str]:
    for _ in range(3):  # a filter may write anew what another has
        yield text
        yield _BREAK.sub("", text)
        text = unquote(text)


def _windows(text: str) -> Iterator[str]:
    for run in _RUN.findall(text):
        yield from (run[at : at + _TOKEN] for at in range(len(run) - _TOKEN + 1))
