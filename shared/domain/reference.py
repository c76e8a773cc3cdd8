"""Computes the short reference of a request that people read and dictate, such as ``CCP-7K2M-94QD``; pure.

It follows from the id of the request. Its last character is a check: one wrong character, or two that changed places,
never make another reference.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from uuid import UUID

_ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""Without 0, O, 1, I and L. A prime number of characters, so that the check below finds every single mistake."""
_SIZE: Final = len(_ALPHABET)
_PREFIX: Final = "CCP"
_LENGTH: Final = 8
_DIGEST_BYTES: Final = 8
EXAMPLE: Final = "CCP-7K2M-94QP"
_REMEMBERED: Final = 4096


@lru_cache(_REMEMBERED)
def of(request_id: UUID) -> str:
    """Returns the reference of a request."""
    number = int.from_bytes(hashlib.sha256(request_id.bytes).digest()[:_DIGEST_BYTES], "big")
    digits: list[int] = []
    for _ in range(_LENGTH - 1):
        number, digit = divmod(number, _SIZE)
        digits.append(digit)
    digits.append(-_weighed(digits) * pow(_LENGTH, -1, _SIZE) % _SIZE)
    text = "".join(_ALPHABET[digit] for digit in digits)
    return f"{_PREFIX}-{text[:4]}-{text[4:]}"


def read(text: str) -> str | None:
    """Reads a reference in any grouping, or a request id; returns None for other text."""
    try:
        return of(UUID(text.strip()))
    except ValueError:
        pass
    compact = re.sub(r"[\s\-–.]", "", text.upper())
    compact = compact.removeprefix(_PREFIX) if len(compact) > _LENGTH else compact
    if len(compact) != _LENGTH or not set(compact) <= set(_ALPHABET) or _weighed(map(_ALPHABET.index, compact)) % _SIZE:
        return None
    return f"{_PREFIX}-{compact[:4]}-{compact[4:]}"


def _weighed(digits: Iterable[int]) -> int:
    return sum(weight * digit for weight, digit in enumerate(digits, 1))
