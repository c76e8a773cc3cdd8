"""Checks the rows that a team uploads for a copy; intake seals them; pure.

Errors quote nothing of a row, since even a field name could be personal.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Protocol, Self
from uuid import UUID

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from shared.domain.errors import AnswerMalformed, DsrError, Misconfigured, WrongPersonMatch
from shared.domain.identities import LONGEST, IdentityType
from shared.domain.release import IdentityKey, Match, spelled
from shared.systems.bus.settings import SHOWN, BusSettings
from shared.systems.contract import CopiedRecord, Task
from shared.systems.http_client import is_deeper

MOST_ROWS = 20_000
"""Rows of one upload; a team that has more of one person refuses, and a person looks."""
DEEPEST = 8
"""Objects and lists within one another in one row's data."""


class MalformedResult(DsrError):
    """An upload is malformed; the message names the place and the mistake, never the value."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class FoundBy(_Strict):
    """A value that identifies a person in a row, the subject or another, and the time of the row."""

    type: IdentityType
    value: Annotated[str, Field(min_length=1, max_length=LONGEST, repr=False)]
    at: AwareDatetime | None = None
    tenant: Annotated[str, Field(max_length=64)] | None = None


class UploadedRow(_Strict):
    """One row of a copy: its ``category`` is one of the table's, each field of ``data`` has a class there.

    ``source``: what the team calls the place; ``portable``: the subject has provided it, under consent or contract
    (Art. 20). ``matched``: all values of the row by which anybody could be found in it.
    """

    category: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    source: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,63}$")]
    data: Annotated[
        dict[str, JsonValue], Field(min_length=1, max_length=64, repr=False, examples=[{"called": "+4930901820"}])
    ]
    portable: bool = True
    matched: Annotated[tuple[FoundBy, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _is_shallow(self) -> Self:
        if is_deeper(self.data, DEEPEST):
            raise ValueError(f"nested deeper than {DEEPEST}")
        return self


class TaskResult(_Strict):
    """The copy for one command, ``export``; uploaded before the reply, once: the same again changes nothing."""

    command_id: UUID
    records: Annotated[tuple[UploadedRow, ...], Field(min_length=1, max_length=MOST_ROWS)]

    def sealed(self) -> bytes:
        """The rows as they are kept in the vault."""
        return orjson.dumps([row.model_dump(mode="json") for row in self.records])


class Uploads(Protocol):
    """The sealed uploads of teams."""

    async def expect(self, system: str, commands: Mapping[UUID, UUID]) -> None:
        """Opens a place for each command, sealed for its subject; an open place stays."""

    async def take(self, commands: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """Returns the uploads received, by command; they stay until the task has ended."""


class NoUploads:
    """For adapters that never ask a team."""

    async def expect(self, system: str, commands: Mapping[UUID, UUID]) -> None:
        """Raises: no team is asked."""
        raise Misconfigured(f"{system}: {len(commands)} copies were requested where no team is asked")

    async def take(self, commands: Sequence[UUID]) -> Mapping[UUID, bytes]:
        del commands
        return {}


def read_result(body: bytes) -> TaskResult:
    """Reads an upload.

    Raises:
        MalformedResult: names the place and what is wrong there.
    """
    try:
        return TaskResult.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)[:5]
        raise MalformedResult("; ".join(f"{_place(each['loc'])}: {each['msg']}" for each in faults)) from None


def records_of(
    task: Task, uploaded: bytes | None, found: int, settings: BusSettings, categories: frozenset[str]
) -> list[CopiedRecord]:
    """Returns the rows of a copy, without fields that the subject is not shown.

    ``categories``: the categories that the downstreams file declares for the system.

    Raises:
        AnswerMalformed: nothing was uploaded, or the upload differs from the reply or the declaration
        WrongPersonMatch: a row does not name the subject, or also names another person
    """
    if not uploaded:
        raise AnswerMalformed(f"{task.system} says exported, and has uploaded nothing for that command")
    rows = [UploadedRow.model_validate(each, strict=False) for each in orjson.loads(uploaded)]
    if len(rows) != found:
        raise AnswerMalformed(f"{task.system} says that it exported {found:,} rows, and has uploaded {len(rows):,}")
    if any(row.category not in categories for row in rows):
        raise AnswerMalformed(f"{task.system} has uploaded rows of a category that its table does not list")
    if any(row.data.keys() - settings.fields.keys() for row in rows):
        raise AnswerMalformed(f"{task.system} has uploaded fields that its table gives no class")
    identities = {(each.type.value, each.value) for each in task.identities}
    if any(identities.isdisjoint(spelled(each.type, each.value) for each in row.matched) for row in rows):
        raise WrongPersonMatch(
            f"{task.system} has uploaded rows in which the subject is not found; nothing was handed out"
        )
    known = {kind for kind, _ in identities}
    if any(
        not identities.issuperset(named for named in _identities_in(row, settings) if named[0] in known) for row in rows
    ):
        raise WrongPersonMatch(
            f"{task.system} has uploaded rows that name another person than the subject, by what is not known as"
            " theirs; nothing was handed out"
        )
    return [_record(task.system, row, settings.shown) for row in rows]


def _identities_in(row: UploadedRow, settings: BusSettings) -> Iterator[IdentityKey]:
    """Yields the identities in a row and in its shown fields; free text is not read."""
    yield from (spelled(each.type, each.value) for each in row.matched if each.type is not IdentityType.NAME)
    for name, value in row.data.items():
        if settings.fields[name] in SHOWN - {"C"}:
            yield from (named for text in _texts(value) for named in _spelled_out(text))


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            yield from (text for each in value for text in _texts(each))
        case dict():
            yield from (text for pair in value.items() for each in pair for text in _texts(each))


def _spelled_out(text: str) -> Iterator[IdentityKey]:
    """Yields the e-mail address, SIP user or international number that a text is."""
    kind = (
        IdentityType.SIP_URI
        if text.strip().lower().startswith(("sip:", "sips:"))
        else IdentityType.EMAIL
        if "@" in text
        else IdentityType.PHONE
        if text.strip().startswith(("+", "tel:"))
        else None
    )
    if kind and (named := spelled(kind, text))[1]:
        yield named


def _record(system: str, row: UploadedRow, shown: frozenset[str]) -> CopiedRecord:
    matched = tuple(Match(each.type.value, each.value, each.at, each.tenant) for each in row.matched)
    data = {name: value for name, value in row.data.items() if name in shown}
    return CopiedRecord(row.category, f"{system}.{row.source}", data, row.portable, matched)


def _place(location: Sequence[int | str]) -> str:
    """The place of a fault, by the names that the message has; any other name came from outside."""
    known = {*TaskResult.model_fields, *UploadedRow.model_fields, *FoundBy.model_fields}
    named = (str(part) if isinstance(part, int) or part in known else "a field that is none" for part in location)
    return ".".join(named) or "the result"
