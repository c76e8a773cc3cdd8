"""Text that people send: in one composed form, of characters that can be seen."""

import re
import unicodedata
from typing import Annotated

import idna
from pydantic import AfterValidator, StringConstraints

_UNSEEN = r"\x7f-\x9f\u202a-\u202e\u2066-\u2069"
"""Control characters beyond ASCII's, and those that turn the direction in which a text is shown."""

ONE_LINE = rf"^[^\x00-\x1f\u2028\u2029{_UNSEEN}]*$"
LINES = rf"^[^\x00-\x08\x0b\x0c\x0e-\x1f{_UNSEEN}]*$"


Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""A word of an enumeration, a policy, the downstreams file or a dataset; never user input."""


def nfc(value: str) -> str:
    """The composed form (NFC): what looks the same is the same."""
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def forms(value: str) -> tuple[str, ...]:
    """Returns the forms in which a system may have stored a text: NFC, and NFD if it differs.

    Text that mixes both is found by neither. An e-mail address may stand there with its domain in ASCII as well.
    """
    if value.isascii():
        return (value,)
    written = [value, in_ascii(value)] if "@" in value else [value]
    return tuple(dict.fromkeys(unicodedata.normalize(form, each) for each in written for form in ("NFC", "NFD")))


def in_letters(address: str) -> str:
    """An e-mail address with its domain as people read it (U-labels, RFC 5890): ``xn--exmple-cua.org`` is none.

    A domain that is not registered by IDNA 2008 stays as it is written.
    """
    local, at, domain = address.rpartition("@")
    if domain.isascii() and "xn--" not in domain:
        return address
    try:
        return f"{local}{at}{nfc(idna.decode(idna.encode(domain, uts46=True)))}"
    except idna.IDNAError:
        return address


def in_ascii(address: str) -> str:
    """Returns the address with its domain in ASCII (A-labels), or unchanged if it has none."""
    local, at, domain = address.rpartition("@")
    try:
        return address if domain.isascii() else f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return address


def folded(value: str) -> str:
    """A text as one reads it, to look for words in: without case, accents, hyphens and invisible characters.

    White space of any length is one blank, and dots between single letters are left out (``D.N.I.``).
    """
    seen = unicodedata.normalize("NFKD", value.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).casefold()
    letters = "".join(c for c in seen if unicodedata.category(c) not in {"Mn", "Me", "Cf", "Pd"})
    return re.sub(r"\b(?:\w\.){2,}", lambda found: found[0].replace(".", ""), " ".join(letters.split()))


Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=4000, pattern=LINES),
    AfterValidator(nfc),
]
