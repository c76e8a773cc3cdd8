"""The API's own document (OpenAPI 3.1): problem details, what each success is, examples, and where new things are."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.intake.api.actions import bodies
from services.intake.api.problems import MEDIA_TYPE
from shared.systems.bus.upload import TaskResult

_JSON: Final = "application/json"
_UNSAID: Final = "Successful Response"
_CREATED: Final = "201"
_BY_FORMAT: Final[Mapping[str, str]] = {
    "uuid": "019c8e2f-7a10-7d33-9b51-3a8f0c2d4e6b",
    "date": "2026-03-31",
    "date-time": "2026-03-02T09:00:00+00:00",
}
_BY_TYPE: Final[Mapping[str, Any]] = {"string": "text", "integer": 1, "number": 1, "boolean": False, "null": None}
LOCATION: Final = {"description": "The address of what was created, or of the first", "schema": {"type": "string"}}


class Api(FastAPI):
    """FastAPI, with a document that says more than its routes do."""

    def openapi(self) -> dict[str, Any]:
        """The document; FastAPI takes every answer to have the media type of the route's success."""
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()
        by_path = bodies()
        models: set[type[BaseModel]] = {TaskResult, *(model for each in by_path.values() for _, model in each.values())}
        known, more = models_json_schema(
            [(each, "validation") for each in sorted(models, key=lambda each: each.__name__)],
            ref_template="#/components/schemas/{model}",
        )
        schemas = document["components"]["schemas"] = more["$defs"] | document["components"]["schemas"]
        for operation in (operation for path in document["paths"].values() for operation in path.values()):
            if named := by_path.get(operation["operationId"]):
                references = {name: known[model, "validation"] for name, (_, model) in named.items()}
                examples = {
                    name: {"summary": named[name][0], "value": example(reference, schemas)}
                    for name, reference in references.items()
                }
                schema = {"anyOf": [*{each["$ref"]: each for each in references.values()}.values()]}
                operation["requestBody"] = {"content": {_JSON: {"schema": schema, "examples": examples}}}
            for status, answer in operation["responses"].items():
                if status >= "4":
                    answer["content"] = {MEDIA_TYPE: answer["content"].popitem()[1]}
                    continue
                if answer["description"] == _UNSAID:
                    answer["description"] = _said_by(answer, schemas)
                if status == _CREATED:
                    answer.setdefault("headers", {})["Location"] = LOCATION
            for media in _bodies(operation):
                if media.get("schema") and not {"example", "examples"} & media.keys():
                    media["example"] = example(media["schema"], schemas)
        return document


def example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """Builds a value that fits a schema, of the examples that its fields have."""
    given = [schema[name] for name in ("example", "const", "default") if schema.get(name) not in (None, "", [], {})]
    if known := [*given, *schema.get("examples", ()), *schema.get("enum", ())]:
        return known[0]
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if several := schema.get("anyOf") or schema.get("oneOf"):
        return example(several[0], schemas)
    match schema.get("type", "null"):
        case "object":
            fields, required = schema.get("properties", {}), schema.get("required", ())
            return {name: example(each, schemas) for name, each in fields.items() if name in required}
        case "array":
            items: Mapping[str, Any] = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
            return [example(items, schemas)] * max(1, schema.get("minItems", 1))
        case kind:
            found = _BY_FORMAT.get(schema.get("format", ""), _BY_TYPE[kind])
            return max(found, schema["minimum"]) if "minimum" in schema else found


def _said_by(answer: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    """Describes a success by the first sentence of its model, or by its media type."""
    [(media_type, media), *_] = answer["content"].items()
    schema = media.get("schema", {})
    found = schemas.get(schema.get("$ref", "").rpartition("/")[2], schema)
    description = str(found.get("description", "")).split("\n\n", 1)[0]
    return " ".join(description.split()) or f"A document ({media_type})."


def _bodies(operation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The JSON bodies of an operation that are sent and, where it succeeds, answered."""
    answers = [answer for status, answer in operation["responses"].items() if status < "4"]
    for each in (operation.get("requestBody", {}), *answers):
        if _JSON in each.get("content", {}):
            yield each["content"][_JSON]
