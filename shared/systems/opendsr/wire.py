"""OpenDSR 2.0 as it travels: requests, answers and the ids by which a repeat is recognised."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter, ValidationError

from shared.domain.errors import AnswerMalformed, Refused
from shared.domain.identities import Identity
from shared.domain.release import Match
from shared.domain.text import forms, nfc
from shared.systems.bounds import MOST
from shared.systems.opendsr.settings import OpenDsrSettings

API_VERSION = "2.0"
RAW = "raw"
"""The format of identities: a hash of a number or an address gives it away all the same."""
_Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
"""It becomes the name of a file, and stands in the evidence for ever: a word, never an address or a number."""
_Results = list[dict[str, JsonValue]] | dict[_Category, list[dict[str, JsonValue]]]
_RESULTS: TypeAdapter[_Results] = TypeAdapter(_Results)


class RequestType(StrEnum):
    """What a processor can be asked for; OpenDSR knows no rectification, restriction or objection."""

    ACCESS = "access"
    ERASURE = "erasure"
    PORTABILITY = "portability"


class RequestStatus(StrEnum):
    """How far the processor is; OpenDSR knows no failed and no partial."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class _Answer(BaseModel):
    # encoded_request repeats the identities, and controllers must not keep it: what is not named here is dropped.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


AnswerT = TypeVar("AnswerT", bound=_Answer)


class Accepted(_Answer):
    """The processor has taken the request."""

    subject_request_id: UUID


class Status(Accepted):
    """Where a request stands and, once completed, how many results there were and where they can be fetched."""

    request_status: RequestStatus
    results_count: Annotated[int, Field(strict=True, ge=0, le=MOST)] | None = None
    results_url: str | None = None


class SupportedIdentity(_Answer):
    """One identity type in one format."""

    identity_type: str
    identity_format: str


class Discovery(_Answer):
    """What the processor supports."""

    supported_identities: tuple[SupportedIdentity, ...]
    supported_subject_request_types: tuple[str, ...]


def subject_request_id(task_id: UUID, purpose: str, round_: int) -> UUID:
    """A UUIDv4 by its form, and always the same for the same step of the same task: the processor absorbs a repeat."""
    digest = hashlib.sha256(f"{task_id}:{purpose}:{round_}".encode()).digest()
    return UUID(bytes=digest[:16], version=4)


def request_body(
    request_id: UUID, kind: RequestType, identities: Sequence[Identity], submitted_at: str, settings: OpenDsrSettings
) -> dict[str, JsonValue]:
    """The body of ``POST /requests``; raises ``Refused`` when the processor has no type for any of the identities."""
    known, others = (
        [_identity(names[i.type], form) for i in identities if i.type in names for form in forms(i.value)]
        for names in (settings.identities, settings.extensions)
    )
    if not known and not others:
        raise Refused(
            "no identity of the subject has a type that this processor takes; map one in identities or extensions"
        )
    body: dict[str, JsonValue] = {
        "regulation": "gdpr",
        "subject_request_id": str(request_id),
        "subject_request_type": kind,
        "submitted_time": submitted_at,
        "subject_identities": known,
        "api_version": API_VERSION,
    }
    if others and settings.domain is not None:
        body["extensions"] = {settings.domain: {"identities": others}}
    return body


def _identity(type_: str, value: str) -> JsonValue:
    return {"identity_type": type_, "identity_value": value, "identity_format": RAW}


def is_foreign(data: JsonValue, identities: Sequence[Identity], settings: OpenDsrSettings) -> bool:
    """Whether a result names an identity of a type by which we asked that is not the subject's.

    Names are compared without case and punctuation, at any depth, and all that stands below one is looked at.
    """
    own = _own(identities, settings)
    return any(_plain(value) not in own[name] for name, value in _named(data, own, None) if value.strip())


def named_in(data: JsonValue, identities: Sequence[Identity], settings: OpenDsrSettings) -> tuple[Match, ...]:
    """Those of the subject's identities that a result names: without any, nobody can tell whose it is."""
    said = [(name, _plain(value)) for name, value in _named(data, _own(identities, settings), None)]
    return tuple(
        Match(each.type, each.value)
        for each in identities
        if any(value in known for name, value in said for known in [_own([each], settings).get(name, ())])
    )


def _own(identities: Sequence[Identity], settings: OpenDsrSettings) -> dict[str, set[str]]:
    """In which forms each name may hold an identity of the subject's."""
    own: dict[str, set[str]] = {}
    for type_, name in {**settings.identities, **settings.extensions}.items():
        values = [identity.value for identity in identities if identity.type is type_]
        if values:
            own.setdefault(_spelled(name), set()).update(map(_plain, values))
    return own


def _named(data: JsonValue, names: Mapping[str, object], below: str | None) -> Iterator[tuple[str, str]]:
    """Every text, with the one of the names below which it stands."""
    match data:
        case dict():
            for name, value in data.items():
                spelled = _spelled(name)
                yield from _named(value, names, spelled if spelled in names else below)
        case list():
            for value in data:
                yield from _named(value, names, below)
        case str() if below is not None:
            yield below, data
        case int() | float() if below is not None and not isinstance(data, bool):
            yield below, str(data)
        case _:
            pass


def _spelled(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


def _plain(value: str) -> str:
    return nfc(nfc(value.strip()).casefold())


def read(model: type[AnswerT], said: Any, system: str) -> AnswerT:
    """Read an answer; raises ``AnswerMalformed`` that names the fields which are wrong, never what they hold."""
    try:
        return model.model_validate(said)
    except ValidationError as error:
        places = (".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        fields = sorted({place or "the body" for place in places})
        raise AnswerMalformed(f"{system} does not answer in OpenDSR {API_VERSION}: check {', '.join(fields)}") from None


def results(said: Any, count: int, system: str) -> list[tuple[str, dict[str, JsonValue]]]:
    """What an access request found, as (category, data): a JSON list of objects, or such lists by category.

    Raises:
        AnswerMalformed: it is neither, or not as many as the processor counted.
    """
    try:
        found = _RESULTS.validate_python(said)
    except ValidationError:
        told = f"{system} gives results that are not JSON objects by category, each a word of small letters"
        raise AnswerMalformed(told) from None
    by_category = {"record": found} if isinstance(found, list) else found
    each = [(category, data) for category, some in by_category.items() for data in some]
    if len(each) != count:
        raise AnswerMalformed(f"{system} counts {count} results and gives {len(each)}")
    return each
