"""What a column may hold, guessed from its name, its type and the keys that it is in: never decided."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.domain.identities import IdentityType
from shared.systems.sql.drafting.shapes import ColumnShape, TableShape


@dataclass(frozen=True, slots=True)
class Guess:
    """``personal``: a class, or None where nothing tells; ``more``: other keys; ``because``: what tells it."""

    personal: str | None
    because: str
    more: Mapping[str, Any] = field(default_factory=dict)


_WORDS: tuple[tuple[str, IdentityType | None, str], ...] = (
    ("T", None, "password passwd hash token secret salt otp"),
    ("A", IdentityType.EMAIL, "email mail"),
    ("A", IdentityType.PHONE, "phone mobile msisdn tel telephone fax e164 cellphone"),
    ("A", IdentityType.SIP_URI, "sip aor"),
    ("A", None, "firstname lastname fullname surname nickname username login ssn passport iban ip imei imsi"),
    ("A", None, "street address postcode zip"),
    ("M", None, "birth birthday birthdate born dob gender sex nationality city country language locale"),
    ("C", None, "body comment comments content description message note notes remark text subject title"),
)
_NAMED = frozenset({"first", "last", "given", "family", "middle", "maiden", "full", "display"})
_HIDDEN = frozenset({"deleted", "deletion", "removed", "archived", "trashed"})
_TEXTS = ("text", "character", "citext", "varchar", "char", "longtext", "mediumtext", "tinytext")
_PLAIN = (
    *("boolean", "date", "time", "smallint", "integer", "bigint", "numeric", "real", "double", "money", "interval"),
    *("tinyint", "int", "decimal", "float", "year", "bit"),
)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a column's name: ``billingEmail`` and ``billing_email`` are two."""
    return tuple(re.findall(r"[a-z]+[0-9]*|[0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def is_text(type_: str) -> bool:
    """Whether a type holds text, which may be about anybody."""
    return type_.startswith(_TEXTS)


def guess(table: TableShape, column: ColumnShape) -> Guess:
    """What a column of that table may be."""
    found = _of_keys(table, column) or _of_name(column) or _of_type(column)
    return Guess(found.personal, found.because, {**found.more, "generated": True}) if column.generated else found


def _of_keys(table: TableShape, column: ColumnShape) -> Guess | None:
    for key in table.keys:
        if column.name in key.columns:
            return Guess("T", f"it refers to {key.parent[1]} (foreign key {key.name})")
    if column.name in table.primary_key and not is_text(column.type):
        return Guess("T", "it is of the primary key, and no text")
    return None


def _of_name(column: ColumnShape) -> Guess | None:
    words = words_of(column.name)
    hidden = _HIDDEN.intersection(words)
    if hidden and not is_text(column.type):
        return Guess(
            "T",
            f"its name has {min(hidden)!r}: rows that are only marked as deleted are found and deleted like the others,"
            " so write no where that leaves them out",
        )
    if column.type in {"inet", "cidr"}:
        return Guess("A", f"its type is {column.type}")
    if not is_text(column.type):
        return None
    if words[-1:] == ("name",) and _NAMED.intersection(words):
        return Guess("A", f"its name is {column.name!r}")
    for personal, identity, known in _WORDS:
        if told := [word for word in words if word in known.split()]:
            more: dict[str, Any] = {"identity": str(identity)} if identity else {}
            if identity is IdentityType.EMAIL and column.type != "citext":
                more["match"] = "lower"
            return Guess(personal, f"its name has {told[0]!r}", more)
    return None


def _of_type(column: ColumnShape) -> Guess:
    if column.type.startswith("json"):
        return Guess(None, "a document: shown and emptied whole; give what finds people in it a generated column")
    if column.type.startswith(_PLAIN) and not column.type.endswith("[]"):
        return Guess("M", f"its type is {column.type}")
    return Guess(None, "nothing tells")
