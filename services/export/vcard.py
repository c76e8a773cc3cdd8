"""The person's own contact data as a card that address books read (vCard 4.0, RFC 6350); pure."""

from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from services.export.pieces import Piece
from shared.domain.toml_file import read_toml

_FILE: Final = Path(__file__).parents[2] / "shared" / "policy" / "vcard.toml"
_LONGEST = 75
"""Octets of a line (RFC 6350, 3.2)."""
_ADDRESS = ("", "", "street", "city", "region", "postal_code", "country")
"""The parts of ADR in their order; two are not to be used any more (RFC 6350, 6.3.1)."""


class _OfKind(BaseModel):
    """A record that tells by a field which property its value is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    field: str
    value: str
    properties: Mapping[str, str]


class _Cards(BaseModel):
    """What of which category goes into a card: by its fields, by a field that names the kind, or as an address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: Mapping[str, Mapping[str, str]]
    kinds: Mapping[str, _OfKind]
    addresses: Mapping[str, Mapping[str, str]]

    @property
    def categories(self) -> Collection[str]:
        return {*self.fields, *self.kinds, *self.addresses}


@cache
def _cards() -> _Cards:
    return read_toml(_FILE, _Cards)


def any_of(categories: Iterable[str]) -> bool:
    """Whether something of one of these goes into a card."""
    return not set(_cards().categories).isdisjoint(categories)


def card(pieces: Iterable[Piece]) -> bytes:
    """The card, or nothing where there is neither name nor contact."""
    lines = list(dict.fromkeys(line for piece in pieces for line in _lines(piece)))
    if not lines:
        return b""
    names = [value for name, value in lines if name == "FN"] or [lines[0][1]]
    rest = [line for line in lines if line[0] != "FN"]
    head = [("BEGIN", "VCARD"), ("VERSION", "4.0"), *(("FN", name) for name in names)]
    return b"".join(_folded(f"{name}:{value}") for name, value in [*head, *rest, ("END", "VCARD")])


def _lines(piece: Piece) -> Iterable[tuple[str, str]]:
    cards, data = (
        _cards(),
        {name: str(value) for name, value in piece.data.items() if value is not None and value != ""},
    )
    for field, name in cards.fields.get(piece.category, {}).items():
        if field in data:
            yield name, _escaped(data[field])
    if kind := cards.kinds.get(piece.category):
        stands_for = kind.properties.get(data.get(kind.field, ""))
        if stands_for and kind.value in data:
            yield stands_for, _escaped(data[kind.value])
    if parts := cards.addresses.get(piece.category):
        address = [_escaped(data.get(parts.get(part, ""), "")) for part in _ADDRESS]
        if any(address):
            yield "ADR", ";".join(address)


def _escaped(text: str) -> str:
    for mark in ("\\", ",", ";"):
        text = text.replace(mark, "\\" + mark)
    return "\\n".join(text.splitlines())


def _folded(line: str) -> bytes:
    """A line in UTF-8, continued after so many octets, and never within a character."""
    rest, folded, room = line, b"", _LONGEST
    while rest:
        taken, size = 0, 0
        while taken < len(rest) and size + len(rest[taken].encode()) <= room:
            size += len(rest[taken].encode())
            taken += 1
        folded += (b"\r\n " if folded else b"") + rest[:taken].encode()
        rest, room = rest[taken:], _LONGEST - 1
    return folded + b"\r\n"
