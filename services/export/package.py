"""The package: a ZIP that the subject can read and another provider can load (Art. 15(3), Art. 20(1)).

It is written while what systems have given is read, part by part: once for all records in one file, and once more for
the table of each category. What is in memory is one part, and what the survey keeps of each category.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from services.export import pieces, survey, tables
from services.export.archive import Archive, Write
from services.export.readme import readme
from services.export.survey import Category
from shared.domain.rights import Right

DATA, DESCRIPTION = "data.jsonl", "package.json"
_LARGE = 2**30
"""Bytes of all that was collected from which on a file of the package may have more than 2 GiB."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a system has given, as JSON, opened when it is read; ``size`` in bytes."""

    system: str
    size: int
    open: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class About:
    """What a package answers; ``missing``: the systems whose part is not in it, or not all of it."""

    right: Right
    at: datetime
    missing: Sequence[str] = ()
    portable: Callable[[str], bool] = lambda _category: True


async def build(parts: Sequence[Part], about: About, write: Write) -> Mapping[str, Category] | None:
    """Writes the package, and says what is in it; None where nothing is: then what was written counts for nothing."""
    archive = Archive(about.at, write, large=sum(part.size for part in parts) >= _LARGE)
    known: dict[str, Category] = {}
    met: list[set[str]] = []
    async with archive.file(DATA) as lines:
        for part in parts:
            content, categories = await asyncio.to_thread(_lines, part.system, await part.open(), about, known)
            met.append(categories)
            await lines.write(content)
    if not known:
        return None
    for category in sorted(known):
        async with archive.file(f"{category}.csv") as table:
            await table.write(tables.heading(list(known[category].fields)))
            for part in (part for part, categories in zip(parts, met, strict=True) if category in categories):
                columns = list(known[category].fields)
                content = await asyncio.to_thread(_rows, part.system, await part.open(), about, category, columns)
                await table.write(content)
    await archive.add("README.txt", readme(known, about.right, about.at, about.missing).encode())
    files = {each.name: {"bytes": each.size, "sha256": each.sha256} for each in archive.files}
    description = {
        "right": about.right,
        "made_at": about.at.isoformat(),
        "records": sum(each.rows for each in known.values()),
        "categories": {name: each.rows for name, each in sorted(known.items())},
        **({"missing": list(about.missing)} if about.missing else {}),
        "files": files,
    }
    await archive.add(DESCRIPTION, orjson.dumps(description, option=orjson.OPT_INDENT_2))
    await archive.close()
    return known


def _lines(system: str, content: bytes, about: About, known: dict[str, Category]) -> tuple[bytes, set[str]]:
    """The records of one part as JSON Lines, counted with what is known, and the categories that they are of."""
    found = list(pieces.read(system, content, about.right, about.portable))
    return b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in found), survey.count(found, known)


def _rows(system: str, content: bytes, about: About, category: str, columns: Sequence[str]) -> bytes:
    found = pieces.read(system, content, about.right, about.portable)
    return tables.rows((one for one in found if one.category == category), columns)
