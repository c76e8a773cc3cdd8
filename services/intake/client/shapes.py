"""What commands read of the answers of the API: of which shape each must be; what else an answer says is left alone."""

from typing import Any, Self, TypeAlias
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

OPENED = frozenset({"fulfilment.opened", "fulfilment.begun_anew"})
ENDED = frozenset({"task.concluded", "task.recorded"})
Said: TypeAlias = dict[str, Any]
Text: TypeAlias = str | None


class Shape(BaseModel):
    """An object of an answer, which may say more."""

    model_config = ConfigDict(extra="ignore")


class RequestRow(Shape):
    """A request in a list."""

    request_id: UUID
    right: str
    state: str
    outcome: Text
    due_on: str


class RequestList(Shape):
    """A page of requests; ``cursor``: where the next begins."""

    requests: list[RequestRow]
    cursor: Text


class TaskRow(Shape):
    """A task of a request."""

    system: str
    operation: str
    outcome: Text = None
    failure: Text = None
    sentence: Text = None
    not_searched: Text = None
    found: int | None = None
    changed: int | None = None
    remaining: int | None = None


class RequestShown(RequestRow):
    """A request."""

    answer: str
    tasks: list[TaskRow]
    warning: Text
    waits_for: Text = None


class _Opened(Shape):
    operation: str = ""
    stages: list[list[str]] = []


class _Ended(Shape):
    system: str = ""
    operation: str = ""
    outcome: Text = None
    failure: Text = None


class Entry(Shape):
    """An entry of a timeline; ``detail`` has that of which the action tells."""

    at: str
    service: str
    action: str
    detail: Said

    @model_validator(mode="after")
    def _tells_of_its_tasks(self) -> Self:
        known = _Opened if self.action in OPENED else _Ended if self.action in ENDED else Shape
        try:
            known.model_validate(self.detail, strict=True)
        except ValidationError:
            raise ValueError(f"the detail of {self.action} is of another shape") from None
        return self


class Timeline(Shape):
    """What was done about a request."""

    entries: list[Entry]


class _Accepted(Shape):
    request_id: UUID
    state: str
    due_on: str
    letter_code: str | None


class _AllAccepted(Shape):
    requests: list[_Accepted]


Accepted: TypeAlias = _Accepted | _AllAccepted


class _PlanRow(Shape):
    system: str
    deleted: int
    anonymised: int
    kept: int
    waiting: int
    sentence: Text
    refused: Text
    not_searched: Text


class Plan(Shape):
    """What an erasure would do, once the systems have said it."""

    state: str
    systems: list[_PlanRow]


class _LetterRow(Shape):
    letter_id: UUID
    request_id: UUID
    written_at: str
    kind: str
    way: str
    state: str
    fault: Text


class LetterList(Shape):
    """A page of letters."""

    letters: list[_LetterRow]


class Moved(Shape):
    """How a letter stands."""

    state: str


class IncidentRow(Shape):
    """An incident in a list."""

    incident_id: UUID
    notify_by: AwareDatetime
    closed_at: Text
    told_at: Text
    fault: Text
    owner: Text
    categories: list[str] | None


class IncidentList(Shape):
    """A page of incidents; ``cursor``: where the next begins."""

    incidents: list[IncidentRow]
    cursor: Text


class _Entry(Shape):
    said: Said


class IncidentShown(IncidentRow):
    """The record of an incident."""

    entries: list[_Entry]
    letters: list[Said]


class Checked(Shape):
    """Of each contact point that was asked about, whether it may be written to."""

    answers: list[str]


class Schema(Shape):
    """A JSON Schema, as far as it says how a field is typed."""

    ref: str = Field(default="", alias="$ref")
    type: str = ""
    description: str = ""
    properties: "dict[str, Schema]" = {}
    required: list[str] = []
    any_of: "list[Schema]" = Field(default=[], alias="anyOf")
    enum: list[Any] = []
    items: "Schema | None" = None
    discriminator: "Discriminator | None" = None

    @model_validator(mode="after")
    def _describes_what_it_requires(self) -> Self:
        if missing := {*self.required} - self.properties.keys():
            raise ValueError(f"it requires what it does not describe: {', '.join(sorted(missing))}")
        return self


class Discriminator(Shape):
    """Which word of a body tells apart what it is."""

    by: str = Field(alias="propertyName")
    mapping: dict[str, str]


class _Media(Shape):
    content_schema: Schema = Field(default=Schema(), alias="schema")


class _Body(Shape):
    content: dict[str, _Media]


class Operation(Shape):
    """What one operation of the API does, and the body that it takes."""

    description: str = ""
    body: _Body = Field(default=_Body(content={}), alias="requestBody")


class Components(Shape):
    """What schemas refer to."""

    schemas: dict[str, Schema] = {}


class Document(Shape):
    """The API's own document (OpenAPI 3.1)."""

    paths: dict[str, dict[str, Operation]]
    components: Components = Components()
