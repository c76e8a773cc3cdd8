"""Text that people send: in one composed form, of characters that can be seen."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

_UNSEEN = r"\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""Control characters beyond ASCII's, and those that turn the direction in which a text is shown."""

ONE_LINE = rf"^[^\x00-\x1f\u2028\u2029{_UNSEEN}]*$"
LINES = rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f{_UNSEEN}]*$"


def nfc(value: str) -> str:
    """The composed form (NFC): what looks the same is the same."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def forms(value: str) -> tuple[str, ...]:
    """The forms in which a system may have stored a text that is compared as it stands there: NFC, and NFD if another.

    Text that mixes both is found by neither.
    """
    if value.isascii():
        return (value,)
    return tuple(dict.fromkeys(unicodedata.normalize(form, value) for form in ("NFC", "NFD")))


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000, pattern=LINES),
    AfterValidator(nfc),
]
