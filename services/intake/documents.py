"""What the API's documentation says beyond what its signatures say: bodies read by hand, answers, problems."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, JsonValue

from services.intake.lifecycle import State
from services.intake.problems import MEDIA_TYPE, Problem
from services.intake.submission import Batch, Submission
from shared.domain.operations import Unsearched
from shared.domain.rights import Outcome, Right, Role


class Receipt(BaseModel):
    """A request was stored."""

    request_id: UUID
    state: State
    due_on: date


class Receipts(BaseModel):
    """All requests of a batch were stored, in the order given."""

    requests: list[Receipt]


class Moved(BaseModel):
    """Where the request stands now."""

    request_id: UUID
    state: State


class TaskView(BaseModel):
    """What one system did, in counts: found before, changed, remaining when looked at again.

    ``not_searched``: why it, or a part of it, could not be searched. Without outcome and failure it was not begun.
    """

    task_id: UUID
    system: str
    operation: str
    outcome: str | None = None
    found: int
    changed: int
    remaining: int
    ground: str | None = None
    until: date | None = None
    failure: str | None = None
    not_searched: Unsearched | None = None


class RequestView(BaseModel):
    """Where a request stands."""

    request_id: UUID
    right: Right
    state: State
    outcome: Outcome | None
    resumable: bool
    scope: str | None
    role: Role
    received_at: datetime
    due_on: date
    warning: str | None
    closed_at: datetime | None
    answer: str
    tasks: list[TaskView]
    package: bool


class TimelineEntry(BaseModel):
    """One thing that was done."""

    at: datetime
    service: str
    actor: str
    action: str
    detail: dict[str, JsonValue]


class Timeline(BaseModel):
    """Everything that was done about a request."""

    request_id: UUID
    entries: list[TimelineEntry]


class Extended(BaseModel):
    """By when the request must be answered now."""

    request_id: UUID
    due_on: date


class LetterView(BaseModel):
    """A letter to the subject."""

    letter_id: UUID
    kind: str
    written_at: datetime
    subject: str
    body: str


class LetterViews(BaseModel):
    """Every letter of a request."""

    request_id: UUID
    letters: list[LetterView]


PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "description": "What was wrong, and what to do about it",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    },
    "5XX": {
        "description": "Nothing was stored; try again",
        "content": {MEDIA_TYPE: {"schema": Problem.model_json_schema()}},
    },
}
PACKAGE: dict[int | str, dict[str, Any]] = {200: {"description": "The package", "content": {"application/zip": {}}}}


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    header = {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "maxLength": 200},
    }
    key = {
        "name": "Authorization",
        "in": "header",
        "required": True,
        "schema": {"type": "string"},
        "description": "`Bearer dsr_…`",
    }
    schema = _inlined(model.model_json_schema())
    return {
        "parameters": [key, header],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
    }


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions in place, since the document's own components are made elsewhere."""
    definitions = schema.pop("$defs", {})

    def resolve(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return resolve(definitions[node["$ref"].rsplit("/", 1)[-1]])
            return {name: resolve(value) for name, value in node.items()}
        return [resolve(item) for item in node] if isinstance(node, list) else node

    resolved: dict[str, Any] = resolve(schema)
    return resolved


SUBMIT = _takes(Submission)
SUBMIT_BATCH = _takes(Batch)
