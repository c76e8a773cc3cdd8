"""An authority of one folder, and what it has issued for servers on 127.0.0.1."""

from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local.ports import HOST
from shared.domain.clock import SystemClock

_VALID = timedelta(days=30)
_PEM = serialization.Encoding.PEM
_Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Issued:
    """PEM files: of who is to be trusted, of the server's certificate, and of its key."""

    authority: Path
    certificate: Path
    key: Path


def issue(folder: Path) -> Issued:
    """A new authority, whose key nobody keeps, and a certificate of it for 127.0.0.1; good for thirty days."""
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in ("authority", "server")]
    root = _signed(names[0], theirs, names[0], theirs, x509.BasicConstraints(ca=True, path_length=None))
    leaf = _signed(names[1], ours, names[0], theirs, x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]))
    issued = Issued(folder / "authority.pem", folder / "server.pem", folder / "server.key")
    issued.authority.write_bytes(root.public_bytes(_PEM))
    issued.certificate.write_bytes(leaf.public_bytes(_PEM))
    issued.key.touch(mode=0o600)
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    issued.key.write_bytes(ours.private_bytes(_PEM, *plain))
    return issued


def _signed(
    subject: x509.Name, key: _Key, issuer: x509.Name, issuers: _Key, extension: x509.ExtensionType
) -> x509.Certificate:
    now = SystemClock().now()
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + _VALID)
    return dated.add_extension(extension, critical=False).sign(issuers, hashes.SHA256())
