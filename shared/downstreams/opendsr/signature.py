"""Who signed an answer: the certificate of the processor's domain, over its body as it came (OpenDSR, section 4)."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from shared.domain.errors import Misconfigured, Refused

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
