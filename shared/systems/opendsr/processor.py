"""One OpenDSR processor over HTTPS: submit a request once, ask where it stands, fetch what it found."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import JsonValue

from shared.domain.clock import Clock
from shared.domain.errors import AnswerMalformed, Misconfigured, Refused
from shared.systems.http_client import HttpClient, connect
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.opendsr.wire import RAW, Accepted, Discovery, RequestType, Status, read, results

SIGNATURE_HEADER = "X-OpenDSR-Signature"
DOMAIN_HEADER = "X-OpenDSR-Processor-Domain"


class SignatureWrong(Refused):
    """An answer was not signed by the processor whose certificate is configured; nothing in it was believed."""


class ProcessorCertificate:
    """The pinned certificate of one processor."""

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
        """Raises ``SignatureWrong`` unless the body was signed by this certificate, in its time, for its domain."""
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
    """Speaks HTTP with one processor and believes only what it signed, where its certificate is configured."""

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
        connection = connect(
            timeout=settings.timeout_s,
            abreast=settings.parallel,
            headers={"Accept": "application/json"},
            transport=transport,
        )
        sign_in = f"check the token in {settings.token_env or 'token_env'}"
        self._client = HttpClient(system, connection, sign_in=sign_in, limits=settings)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def discover(self) -> None:
        """Refuse, before anybody's identity is sent, a processor that cannot do what we will ask of it."""
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
        """Hand a request in; a processor that calls a repeat a mistake is asked whether it has it already."""
        answer = await self._call("POST", "requests", json=body)
        if answer.status_code in _DUPLICATE and await self.status(request_id) is not None:
            return
        self._read(Accepted, self._expect(answer, HTTPStatus.CREATED), request_id)

    async def status(self, request_id: UUID) -> Status | None:
        """Where a request stands; ``None`` if the processor has never heard of it."""
        answer = await self._call("GET", f"requests/{request_id}")
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        return self._read(Status, self._expect(answer, HTTPStatus.OK), request_id)

    async def results(self, address: str, count: int) -> list[tuple[str, dict[str, JsonValue]]]:
        """What an access request found, as (category, data); signed like every other answer, whoever keeps it.

        Raises:
            Refused: they lie where we do not go.
            SignatureWrong: the processor has not signed them.
            AnswerMalformed: they are no results, or not as many as it counted.
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
        said = read(model, self._client.json(answer), self._system)
        if said.subject_request_id != asked:
            raise AnswerMalformed(f"{self._system} answered about another request than the one it was asked about")
        return said

    def _verify(self, answer: httpx.Response) -> None:
        if self._certificate is not None:
            self._certificate.verify(answer.content, answer.headers, self._clock.now())
