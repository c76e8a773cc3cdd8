"""Submits requests to an OpenDSR 2.0 processor over HTTPS, reads their status, and fetches their results."""

import binascii
import hashlib
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, TypeAdapter, ValidationError

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, Misconfigured, Refused
from shared.domain.identities import Identity
from shared.domain.release import Match
from shared.domain.text import forms, nfc
from shared.systems.bounds import MOST
from shared.systems.http_client import HttpClient, connect_http
from shared.systems.opendsr.settings import OpenDsrSettings

API_VERSION = "2.0"
RAW = "raw"
"""The format of identities. A hash of a number or an address would reveal it as well."""
_Category = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
"""A word, never an address or a number: it becomes a file name and stays in the evidence."""
_Results = list[dict[str, JsonValue]] | dict[_Category, list[dict[str, JsonValue]]]
_RESULTS: TypeAdapter[_Results] = TypeAdapter(_Results)


class RequestType(StrEnum):
    """The request types that this adapter uses."""

    ACCESS = "access"
    ERASURE = "erasure"


class RequestStatus(StrEnum):
    """The states of a request; OpenDSR has no state for failed or partial."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


class _Answer(BaseModel):
    # Unknown fields are dropped: encoded_request repeats the identities, and controllers must not keep it.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


AnswerT = TypeVar("AnswerT", bound=_Answer)


class Accepted(_Answer):
    """The answer to an accepted request."""

    subject_request_id: UUID


class Status(Accepted):
    """The state of a request and, once completed, the number and address of its results."""

    request_status: RequestStatus
    results_count: Annotated[int, Field(strict=True, ge=0, le=MOST)] | None = None
    results_url: str | None = None


class SupportedIdentity(_Answer):
    """An identity type in one format."""

    identity_type: str
    identity_format: str


class Discovery(_Answer):
    """The request and identity types that a processor supports."""

    supported_identities: tuple[SupportedIdentity, ...]
    supported_subject_request_types: tuple[str, ...]


def subject_request_id(task_id: UUID, purpose: str, round_: int) -> UUID:
    """Returns the same UUIDv4 for each repeat of a step, so that the processor absorbs repeats."""
    digest = hashlib.sha256(f"{task_id}:{purpose}:{round_}".encode()).digest()
    return UUID(bytes=digest[:16], version=4)


def request_body(
    request_id: UUID, kind: RequestType, identities: Sequence[Identity], submitted_at: str, settings: OpenDsrSettings
) -> dict[str, JsonValue]:
    """Returns the body of ``POST /requests``; raises ``Refused`` if no identity has a type of the processor."""
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
    """Returns whether a result names another person, by a type of identity that the request used.

    Names of fields are compared at any depth, without case and punctuation.
    """
    own = _own(identities, settings)
    return any(_plain(value) not in own[name] for name, value in _named(data, own, None) if value.strip())


def named_in(data: JsonValue, identities: Sequence[Identity], settings: OpenDsrSettings) -> tuple[Match, ...]:
    """Returns the identities of the subject that a result names."""
    values = [(name, _plain(value)) for name, value in _named(data, _own(identities, settings), None)]
    return tuple(
        Match(each.type, each.value)
        for each in identities
        if any(value in known for name, value in values for known in [_own([each], settings).get(name, ())])
    )


def _own(identities: Sequence[Identity], settings: OpenDsrSettings) -> dict[str, set[str]]:
    """Returns the identities of the subject by the name of the field that may hold them."""
    own: dict[str, set[str]] = {}
    for type_, name in {**settings.identities, **settings.extensions}.items():
        values = [identity.value for identity in identities if identity.type is type_]
        if values:
            own.setdefault(_spelled(name), set()).update(map(_plain, values))
    return own


def _named(data: JsonValue, names: Mapping[str, object], below: str | None) -> Iterator[tuple[str, str]]:
    """Yields every text below one of these names, with that name."""
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


def read(model: type[AnswerT], content: Any, system: str) -> AnswerT:
    """Reads an answer; raises ``AnswerMalformed`` that names the wrong fields, never their values."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        places = (".".join(map(str, item["loc"])) for item in error.errors(include_input=False))
        fields = sorted({place or "the body" for place in places})
        raise AnswerMalformed(f"{system} does not answer in OpenDSR {API_VERSION}: check {', '.join(fields)}") from None


def results(content: Any, count: int, system: str) -> list[tuple[str, dict[str, JsonValue]]]:
    """Reads the results of an access request, as (category, data); raises ``AnswerMalformed`` if the count differs."""
    try:
        found = _RESULTS.validate_python(content)
    except ValidationError:
        malformed = f"{system} gives results that are not JSON objects by category, each a word of small letters"
        raise AnswerMalformed(malformed) from None
    by_category = {"record": found} if isinstance(found, list) else found
    each = [(category, data) for category, some in by_category.items() for data in some]
    if len(each) != count:
        raise AnswerMalformed(f"{system} counts {count} results and gives {len(each)}")
    return each


SIGNATURE_HEADER = "X-OpenDSR-Signature"
DOMAIN_HEADER = "X-OpenDSR-Processor-Domain"


class SignatureWrong(Refused):
    """An answer was not signed by the configured certificate and is ignored."""


class ProcessorCertificate:
    """The pinned certificate of a processor."""

    def __init__(self, path: Path, domain: str) -> None:
        try:
            self._certificate = x509.load_pem_x509_certificate(path.read_bytes())
            names = self._certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, x509.ExtensionNotFound) as error:
            raise Misconfigured(f"{path.name}: not a readable PEM certificate with a domain name") from error
        if domain not in names.get_values_for_type(x509.DNSName):
            raise Misconfigured(
                f"certificate {path.name} is not issued for {domain}; correct domain, or fetch the right one"
            )
        self._domain = domain

    def verify(self, body: bytes, headers: Mapping[str, str], now: datetime) -> None:
        """Raises ``SignatureWrong`` unless this certificate, valid now, signed the body for its domain."""
        if not self._certificate.not_valid_before_utc <= now <= self._certificate.not_valid_after_utc:
            raise SignatureWrong(f"the certificate of {self._domain} is not valid today; fetch the new one")
        if headers.get(DOMAIN_HEADER) != self._domain:
            raise SignatureWrong(f"{DOMAIN_HEADER} does not say {self._domain}")
        try:
            signature = b64decode("".join(headers.get(SIGNATURE_HEADER, "").split()), validate=True)
            self._check(signature, body)
        except (binascii.Error, InvalidSignature):
            raise SignatureWrong(f"{SIGNATURE_HEADER} is not a signature of {self._domain} over this answer") from None

    def _check(self, signature: bytes, body: bytes) -> None:
        match self._certificate.public_key():
            case RSAPublicKey() as key:
                key.verify(signature, body, PKCS1v15(), SHA256())
            case EllipticCurvePublicKey() as key:
                key.verify(signature, body, ECDSA(SHA256()))
            case key:
                raise SignatureWrong(f"{self._domain} signs with {type(key).__name__}; RSA or ECDSA is expected")


_DUPLICATE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT})
AcceptedT = TypeVar("AcceptedT", bound=Accepted)


class Processor:
    """Calls one processor; verifies the signature of each answer if a certificate is configured."""

    def __init__(
        self,
        system: str,
        settings: OpenDsrSettings,
        *,
        clock: Clock,
        token: str | None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._system = system
        self._settings = settings
        self._clock = clock
        self._certificate = (
            ProcessorCertificate(settings.certificate, settings.domain)
            if settings.certificate is not None and settings.domain is not None
            else None
        )
        self._base = httpx.URL(str(settings.url).rstrip("/") + "/")
        self._credentials = {} if token is None else {"Authorization": f"Bearer {token}"}
        connection = connect_http(
            timeout=settings.timeout_s,
            concurrency=settings.parallel,
            headers={"Accept": "application/json"},
            transport=transport,
        )
        sign_in = f"check the token in {settings.token_env or 'token_env'}"
        self._client = HttpClient(system, connection, sign_in=sign_in, limits=settings)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def discover(self) -> None:
        """Refuses an unsuitable processor before any identity is sent."""
        answer = self._expect(await self._call("GET", "discovery"), HTTPStatus.OK)
        discovery = read(Discovery, self._client.json(answer), self._system)
        missing = {RequestType.ACCESS, RequestType.ERASURE} - set(discovery.supported_subject_request_types)
        if missing:
            raise Refused(
                f"{self._system} does not support {', '.join(sorted(missing))}: nothing can be verified there"
            )
        offered = {(each.identity_type, each.identity_format) for each in discovery.supported_identities}
        if lacking := [type_ for type_ in self._settings.identities.values() if (type_, RAW) not in offered]:
            raise Refused(f"{self._system} does not take {', '.join(lacking)} as it is written (raw)")

    async def submit(self, request_id: UUID, body: dict[str, JsonValue]) -> None:
        """Submits a request; if the processor rejects a repeat, checks that it has the request."""
        answer = await self._call("POST", "requests", json=body)
        if answer.status_code in _DUPLICATE and await self.status(request_id) is not None:
            return
        self._read(Accepted, self._expect(answer, HTTPStatus.CREATED), request_id)

    async def status(self, request_id: UUID) -> Status | None:
        """Returns the status of a request; ``None`` if the processor does not know it."""
        answer = await self._call("GET", f"requests/{request_id}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        return self._read(Status, self._expect(answer, HTTPStatus.OK), request_id)

    async def results(self, address: str, count: int) -> list[tuple[str, dict[str, JsonValue]]]:
        """Fetches and verifies the results of an access request, as (category, data).

        Raises:
            Refused: the address is on a host that is not listed.
        """
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL:
            raise AnswerMalformed(f"{self._system} gives a results_url that is none") from None
        same_host = (url.scheme, url.host, url.port) == (self._base.scheme, self._base.host, self._base.port)
        if not same_host and (url.scheme != "https" or url.host not in self._settings.results_hosts):
            raise Refused(f"{self._system} keeps its results on a host that results_hosts does not list")
        # A foreign host is given no credentials: its address came from the answer.
        answer = self._expect(await self._call("GET", address, credentials=same_host), HTTPStatus.OK)
        self._verify(answer)
        return results(self._client.json(answer), count, self._system)

    async def _call(
        self, method: str, address: str, *, json: JsonValue = None, credentials: bool = True
    ) -> httpx.Response:
        headers = self._credentials if credentials else {}
        return await self._client.send(method, self._base.join(address), json=json, headers=headers)

    def _expect(self, answer: httpx.Response, expected: HTTPStatus) -> httpx.Response:
        return self._client.expect(answer, f"where {expected.value} was expected", {expected})

    def _read(self, model: type[AcceptedT], answer: httpx.Response, asked: UUID) -> AcceptedT:
        self._verify(answer)
        parsed = read(model, self._client.json(answer), self._system)
        if parsed.subject_request_id != asked:
            raise AnswerMalformed(f"{self._system} answered about another request than the one it was asked about")
        return parsed

    def _verify(self, answer: httpx.Response) -> None:
        if self._certificate is not None:
            self._certificate.verify(answer.content, answer.headers, self._clock.now())
