"""Writes what stands next to the data of a package: which file is what, and the JSON Schema of its records; pure."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Final

import orjson

from services.export.pieces import DATA, DESCRIPTION, FOLDER, SCHEMA, STEPS
from services.export.report.request import ReportRequest
from services.export.report.words import ReportWords, texts_of
from services.export.survey import SurveyedCategory
from shared.domain.release import REPORT
from shared.domain.rights import Right

_FIRST: Final = {REPORT: "report", STEPS: "steps"}
README: Final = "README.txt"
_LAST: Final = {SCHEMA: "schema", DATA: "data", DESCRIPTION: "description", README: "readme"}


def explained(
    known: Mapping[str, SurveyedCategory], request: ReportRequest, files: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yields what is in each of these files; files of a folder have one line."""
    words = ReportWords(request.policy, request.language, request.zone)
    texts = words.texts
    yield from ((name, texts.readme[key]) for name, key in _FIRST.items() if name in files)
    for name, category in sorted(known.items()):
        held = {"kind": words.kind(name), "systems": ", ".join(map(words.filed, category.systems))}
        yield f"{name}.csv", texts.readme["kind"].format(rows=words.number(category.rows), **held)
    if any(name.startswith(FOLDER) for name in files):
        yield FOLDER, texts.readme["attached"]
    yield from ((name, texts.readme[key]) for name, key in _LAST.items() if name in files)


def readme(
    known: Mapping[str, SurveyedCategory], right: Right, at: datetime, request: ReportRequest, files: Collection[str]
) -> str:
    """Returns the text of the readme; ``files``: the names of the package's files."""
    return "\n".join([*_lines(known, right, at, request, files), ""])


def _lines(
    known: Mapping[str, SurveyedCategory], right: Right, at: datetime, request: ReportRequest, files: Collection[str]
) -> Iterator[str]:
    words = ReportWords(request.policy, request.language, request.zone)
    says = words.texts.readme
    yield from (says[right].format(moment=words.moment(at)), "")
    if missing := ", ".join(map(words.filed, sorted(request.missing()))):
        yield from (says["incomplete"].format(systems=missing), "")
    for name, content in explained(known, request, {*files, DESCRIPTION}):
        yield words.texts.page["pair"].format(what=name, value=content)
    yield from ("", says["mark"])
    if right is Right.PORTABILITY:
        yield from ("", says["transmission"])


def schema(known: Mapping[str, SurveyedCategory], request: ReportRequest) -> bytes:
    """Returns the JSON Schema (2020-12) of a data line: fields by category, with types and meanings."""
    return orjson.dumps(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "A record of personal data",
            "type": "object",
            "required": ["system", "category", "source", "data"],
            "properties": {name: {"type": "string"} for name in ("system", "category", "source")},
            "oneOf": [_of(name, held, request) for name, held in sorted(known.items())],
        },
        option=orjson.OPT_INDENT_2,
    )


def _of(name: str, held: SurveyedCategory, request: ReportRequest) -> dict[str, object]:
    fields: dict[str, dict[str, object]] = {}
    for field, kinds in held.fields.items():
        meaning = texts_of(request.language).meaning(request.meaning(held.systems, name, field), field)
        fields[field] = {"type": sorted(kinds)} | ({"description": meaning} if meaning else {})
    data = {"type": "object", "properties": fields, "additionalProperties": False}
    return {"properties": {"category": {"const": name}, "data": data}}
