"""OpenDSR 2.0 as it travels: requests, answers and the ids by which a repeat is recognised."""

import hashlib
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from shared.domain.errors import Refused
from shared.domain.identities import Identity
from shared.domain.text import nfc
from shared.downstreams.opendsr.settings import OpenDsrSettings

API_VERSION = "2.0"


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
    results_count: int | None = None
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
    known = [_identity(settings.identities[i.type], i, settings) for i in identities if i.type in settings.identities]
    others = [_identity(settings.extensions[i.type], i, settings) for i in identities if i.type in settings.extensions]
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


def _identity(type_: str, identity: Identity, settings: OpenDsrSettings) -> JsonValue:
    hashed = settings.format == "sha256"
    value = hashlib.sha256(identity.value.encode()).hexdigest() if hashed else identity.value
    return {"identity_type": type_, "identity_value": value, "identity_format": settings.format}


def is_foreign(data: Mapping[str, JsonValue], identities: Sequence[Identity], settings: OpenDsrSettings) -> bool:
    """Whether a result names an identity of a type by which we asked that is not the subject's."""
    for type_, name in {**settings.identities, **settings.extensions}.items():
        value = data.get(name)
        own = {nfc(identity.value.casefold()) for identity in identities if identity.type is type_}
        if own and isinstance(value, str) and value and nfc(value.strip().casefold()) not in own:
            return True
    return False


def read(model: type[AnswerT], body: bytes, system: str) -> AnswerT:
    """Read an answer; raises ``Refused`` that names the fields which are wrong, never what they hold."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        fields = sorted({".".join(map(str, item["loc"])) or "the body" for item in error.errors(include_input=False)})
        raise Refused(f"{system} does not answer in OpenDSR {API_VERSION}: check {', '.join(fields)}") from None
