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
from services.export.pieces import DATA, DESCRIPTION, SCHEMA, STEPS, Piece
from services.export.readme import README, readme, schema
from services.export.report import page
from services.export.report.request import LISTS, ReportRequest
from services.export.report.words import texts_of
from services.export.survey import SurveyedCategory
from shared.domain.release import REPORT
from shared.domain.rights import Right

_LARGE = 2**30
"""The size of the collected data in bytes from which a file may exceed 2 GiB."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a system's copy, as JSON, opened when it is read; ``size`` in bytes."""

    system: str
    size: int
    open: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class About:
    """The request and the right that a package answers."""

    right: Right
    at: datetime
    request: ReportRequest


async def build(parts: Sequence[Part], about: About, write: Write) -> Mapping[str, SurveyedCategory] | None:
    """Writes the package, and says what is in it; None where nothing is: then what was written counts for nothing."""
    archive = Archive(about.at, write, large=sum(part.size for part in parts) >= _LARGE)
    known: dict[str, SurveyedCategory] = {}
    met: list[set[str]] = []
    hung: list[Part] = []
    async with archive.file(DATA) as lines:
        for part in parts:
            content, categories, files = await asyncio.to_thread(_lines, part.system, await part.open(), about, known)
            met.append(categories)
            hung += [part] if files else []
            await lines.write(content)
    if not known and not (about.right is Right.ACCESS and LISTS in about.request.own):
        return None
    for category, held in sorted(known.items()):
        async with archive.file(f"{category}.csv") as table:
            columns = list(held.fields)
            await table.write(tables.heading(columns))
            for part in (part for part, categories in zip(parts, met, strict=True) if category in categories):
                found = await asyncio.to_thread(_of, part.system, await part.open(), about, category)
                await table.write(await asyncio.to_thread(tables.rows, found, columns))
    await _attach(archive, hung, about)
    if about.right is Right.ACCESS and not about.request.instructed:
        await _explain(archive, known, about)
    elif about.right is Right.PORTABILITY:
        await archive.add(SCHEMA, schema(known, about.request))
    about_files = readme(known, about.right, about.at, about.request, [each.name for each in archive.files])
    await archive.add(README, about_files.encode())
    await archive.add(DESCRIPTION, _description(archive, known, about))
    await archive.close()
    return known


async def _attach(archive: Archive, parts: Sequence[Part], about: About) -> None:
    """Adds the files attached to records, each once."""
    written: set[str] = set()
    for part in parts:
        for one in await asyncio.to_thread(_of, part.system, await part.open(), about, None):
            if one.attached and one.attached.name not in written:
                written.add(one.attached.name)
                await archive.add(*one.attached)


async def _explain(archive: Archive, known: Mapping[str, SurveyedCategory], about: About) -> None:
    """Adds what an access has next to the data: the request's history and the report (Art. 15(1), (2)).

    Where a customer has asked they decide about the data, so what these are for is theirs to say.
    """
    details = texts_of(about.request.language).details
    steps = [
        {"at": each.at, "what": each.action} | {name: each.detail[name] for name in details if name in each.detail}
        for each in about.request.steps
    ]
    await archive.add(STEPS, b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in steps))
    report = await asyncio.to_thread(page.render, known, about.request, list(archive.files), about.at)
    await archive.add(REPORT, report)


def _description(archive: Archive, known: Mapping[str, SurveyedCategory], about: About) -> bytes:
    """Returns the description that a program reads first: the package and its files."""
    missing = sorted(about.request.missing())
    description = {
        "right": about.right,
        "made_at": about.at.isoformat(),
        "request_id": str(about.request.request_id),
        "policy": about.request.policy.version,
        "records": sum(each.rows for each in known.values()),
        "categories": {name: each.rows for name, each in sorted(known.items())},
        **({"missing": missing} if missing else {}),
        **({"instructed": True} if about.request.instructed else {}),
        "mark": tables.MARK,
        "files": {each.name: {"bytes": each.size, "sha256": each.sha256} for each in archive.files},
    }
    return orjson.dumps(description, option=orjson.OPT_INDENT_2)


def _lines(
    system: str, content: bytes, about: About, known: dict[str, SurveyedCategory]
) -> tuple[bytes, set[str], bool]:
    """Counts the records of one part; returns JSON Lines, the categories, and whether files are attached."""
    found = _of(system, content, about, None)
    return b"".join(one.line for one in found), survey.count(found, known), any(one.attached for one in found)


def _of(system: str, content: bytes, about: About, category: str | None) -> list[Piece]:
    """Returns the records of one part, of one category or all."""
    found = pieces.read(system, content, about.right, about.request.portable)
    return [one for one in found if category in {None, one.category}]
