"""Looks for people where the data lies, past every adapter: in each row of each table and in each file."""

import base64
import io
import re
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from urllib.parse import quote, quote_plus

from deploy.demo.company import Customer
from deploy.demo.company.people import ascii_word
from shared.storage.postgres import connected

_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^(pg_|information_schema)'
 ORDER BY 1
"""

_STATEMENTS = 5_000
_INSERTED = re.compile(r'INSERT INTO "?(\w+)')
_BYTEA = re.compile(rb"\\+x((?:[0-9a-f]{2})+)")


def signs(customer: Customer, everyone: Sequence[Customer], more: Iterable[str] = ()) -> frozenset[str]:
    """Returns what identifies this customer alone: code, addresses, numbers in digits and groups, an unshared name."""
    others = [other for other in everyone if other.code != customer.code]
    taken = {phone.number for other in others for phone in other.phones}
    taken |= {email.lower() for other in others for email in other.emails}
    found = {customer.code, *more}
    found.update(email.lower() for email in customer.emails if email.lower() not in taken)
    for phone in customer.phones:
        if phone.number not in taken:
            found |= {phone.number, phone.spaced}
    if customer.name not in {other.name for other in others}:
        found |= {customer.name, ascii_word(customer.name).replace(".", "-")}
    return frozenset(sign.lower().lstrip("+") for sign in found if sign)


def forms(value: str) -> set[bytes]:
    """A value as programs leak it: raw, URL-encoded, escaped, in hex, in base64 at any offset but for others' bits."""
    found = set[bytes]()
    for way in {value, value.lower()}:
        raw = way.encode()
        quoted = {quote(way, safe="").encode(), quote_plus(way).encode()}
        found |= {raw, *quoted, *(each.lower() for each in quoted), way.encode("unicode_escape"), raw.hex().encode()}
        for offset in range(3):
            encoded = base64.b64encode(b"\0" * offset + raw)
            start, end = (offset * 8 + 5) // 6, (offset + len(raw)) * 8 // 6
            found |= {encoded[start:end], encoded[start:end].translate(bytes.maketrans(b"+/", b"-_"))}
    return found


class Seeker:
    """Counts in ``found`` the places that hold a sign, in one reading for many people.

    ``encoded``: also looks for encoded forms in which a program may leak a sign, even within other text.
    """

    found: defaultdict[str, Counter[str]]
    """Number of rows or files with a sign, by customer code, system and table or file."""

    def __init__(self, wanted: Mapping[str, Iterable[str]], *, encoded: bool = False) -> None:
        self.found = defaultdict(Counter)
        self._people = {sign.lower(): who for who, theirs in wanted.items() for sign in theirs}
        self._forms = {
            form: who for who, theirs in wanted.items() if encoded for sign in theirs for form in forms(sign)
        }
        alternatives = "|".join(re.escape(sign) for sign in sorted(self._people, key=len, reverse=True))
        # Bounded, since one address or code may be a part of another: "ana.silva@…" is not "silva@…".
        self._pattern = re.compile(rf"(?<![\w.])0*({alternatives})(?![\w@-])", re.IGNORECASE)
        # What is left of a sign in upper or lower case when bytes are put in lower case: letters beyond ASCII stay.
        self._raw = sorted({way.encode().lower() for sign in self._people for way in (sign, sign.upper())})

    def who(self, text: str) -> set[str]:
        """The people of whom the text holds a sign."""
        return {self._people[match.group(1).lower()] for match in self._pattern.finditer(text)}

    async def in_postgres(self, dsn: str, system: str = "") -> None:
        """Rows of a database by table; every column of every table is looked at, and bytes as what they say."""
        async with connected(dsn) as connection:
            for (table,) in await connection.fetch(_TABLES):
                rows = io.BytesIO()
                await connection.copy_from_query(f"SELECT * FROM {table}", output=rows)  # noqa: S608
                self.in_bytes(f"{system}{table}", _BYTEA.sub(_said, rows.getvalue()), b"\n")

    def in_sqlite(self, database: Path, system: str = "") -> None:
        """Statements of a SQLite database's dump, by table."""
        with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True)) as connection:
            dump = connection.iterdump()
            # Many at a time; a statement may be longer than a line, so something else must stand between two.
            while statements := "\0".join(islice(dump, _STATEMENTS)).encode():
                for statement in self.of_interest(statements, b"\0"):
                    inserted = _INSERTED.match(statement)
                    self._count(f"{system}{inserted.group(1) if inserted else 'schema'}", [statement])

    def in_files(self, *places: Path, system: str = "") -> None:
        """Files, and those below folders; their names count too."""
        files = {path for place in places for path in (place, *place.rglob("*")) if path.is_file()}
        for path in sorted(files):
            # A program may have done with its file, and removed it.
            with suppress(FileNotFoundError):
                self.in_bytes(f"{system}{path.name}", f"{path.name}\n".encode() + path.read_bytes(), b"\0\0\0")

    def in_bytes(self, place: str, content: bytes, separator: bytes) -> None:
        """Count the pieces between separators that hold a sign, and the content once for each form in it."""
        self._count(place, self.of_interest(content, separator))
        low = content.lower()
        for form, who in self._forms.items():
            if form in content or (form.lower() == form and form in low):
                self.found[who][place] += 1

    def of_interest(self, text: bytes, separator: bytes) -> Iterator[str]:
        """The pieces that may hold a sign: finding bytes is a hundred times faster than matching every piece."""
        low = text.lower()
        starts = set()
        for sign in self._raw:
            at = low.find(sign)
            while at >= 0:
                before = low.rfind(separator, 0, at)
                starts.add(before + len(separator) if before >= 0 else 0)
                at = low.find(sign, at + 1)
        for start in sorted(starts):
            end = text.find(separator, start)
            yield text[start : end if end >= 0 else None].decode(errors="replace")

    def _count(self, place: str, texts: Iterable[str]) -> None:
        for text in texts:
            for who in self.who(text):
                self.found[who][place] += 1


def _said(written: re.Match[bytes]) -> bytes:
    """The bytes that a column of type ``bytea`` holds, of which a dump shows the hex."""
    return bytes.fromhex(written[1].decode())
