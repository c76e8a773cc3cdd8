"""What other software needs to load a portability package: a JSON Schema of its records (Art. 20(1)); pure."""

from collections.abc import Mapping

import orjson

from services.export.report.held import Request
from services.export.report.texts import texts_of
from services.export.survey import Category


def schema(known: Mapping[str, Category], request: Request) -> bytes:
    """The JSON Schema (2020-12) of a line of the data: by category its fields, their types and what they mean."""
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


def _of(name: str, held: Category, request: Request) -> dict[str, object]:
    fields: dict[str, dict[str, object]] = {}
    for field, kinds in held.fields.items():
        meaning = texts_of(request.language).meaning(request.meaning(held.systems, name, field), field)
        fields[field] = {"type": sorted(kinds)} | ({"description": meaning} if meaning else {})
    data = {"type": "object", "properties": fields, "additionalProperties": False}
    return {"properties": {"category": {"const": name}, "data": data}}
