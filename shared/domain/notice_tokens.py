"""By what a letter of ours is known again: an id with a keyed seal, which nobody can guess; pure.

It stands in the Message-ID and in the envelope's sender, so that an answer names it, and so does a report that the
letter has not arrived, whichever address that names.
"""

import base64
import hmac
import re
from collections.abc import Iterator
from uuid import UUID

_SEAL_BYTES = 10
_TOKEN = re.compile(r"\bl([a-z2-7]{26})([a-z2-7]{16})\b", re.IGNORECASE)


def token(secret: bytes, letter_id: UUID) -> str:
    """43 letters and digits: they fit into the local part of an address, with which case does not count."""
    return f"l{_encoded(letter_id.bytes)}{_encoded(_seal(secret, letter_id))}"


def letters_in(secret: bytes, text: str) -> Iterator[UUID]:
    """The letters of ours whose tokens stand in a text, each once, in their order; what is not sealed is none."""
    seen = dict[UUID, None]()
    for found in _TOKEN.finditer(text):
        letter_id = UUID(bytes=base64.b32decode(f"{found[1].upper()}======"))
        if hmac.compare_digest(_encoded(_seal(secret, letter_id)), found[2].lower()):
            seen[letter_id] = None
    yield from seen


def _seal(secret: bytes, letter_id: UUID) -> bytes:
    return hmac.digest(secret, b"delivery\0" + letter_id.bytes, "sha256")[:_SEAL_BYTES]


def _encoded(content: bytes) -> str:
    return base64.b32encode(content).decode().rstrip("=").lower()
