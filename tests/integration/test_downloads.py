"""What fetches packages and jars trusts the certificates that SSL_CERT_FILE names, and says in a line what is wrong."""

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploy.local import certificates, kafka_jars, venv
from deploy.local.certificates import DownloadFailedError
from deploy.local.progress import Progress
from shared.domain.clock import SystemClock

HOST = ip_address("127.0.0.1")
Key = ec.EllipticCurvePrivateKey
LOCK = "made-up==1.0 --hash=sha256:" + "0" * 64 + "\n"


@dataclass
class Proxy:
    """A server with a certificate of a company's own, and who has asked it for what."""

    url: str
    authority: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """It answers 404: to be asked is to be trusted."""
    authority = _certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.headers["User-Agent"].partition("/")[0])
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer((str(HOST), 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        known = Proxy(f"https://127.0.0.1:{server.server_port}", authority)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def _certificates(folder: Path) -> Path:
    """An authority, and what it has issued for 127.0.0.1; the file of the authority."""
    ours, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, each)]) for each in ("authority", "server")]
    root = _issued(names[0], theirs, names[0], theirs, x509.BasicConstraints(ca=True, path_length=None))
    leaf = _issued(names[1], ours, names[0], theirs, x509.SubjectAlternativeName([x509.IPAddress(HOST)]))
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(ours.private_bytes(*form) + leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "authority.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    return folder / "authority.pem"


def _issued(
    subject: x509.Name, key: Key, issuer: x509.Name, issuers: Key, extension: x509.ExtensionType
) -> x509.Certificate:
    now = SystemClock().now()
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
    dated = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    return dated.add_extension(extension, critical=False).sign(issuers, hashes.SHA256())


def test_jars_and_packages_are_asked_for_where_the_companys_own_certificate_stands_in_between(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{proxy.url}/simple")
    monkeypatch.setattr(venv, "LOCAL", tmp_path)
    (tmp_path / "tool").mkdir()
    (lock := tmp_path / "tool" / "requirements.lock").write_text(LOCK)
    with pytest.raises(DownloadFailedError, match=r"^what tool needs could not be fetched: .*SSL_CERT_FILE") as failed:
        venv.locked_venv("made-up", lock)
    assert "\n" not in str(failed.value)
    fetching = f"import requests; requests.get('{proxy.url}').raise_for_status()"
    with pytest.raises(kafka_jars.JarsMissingError, match=r"^Apache Kafka .*404 .*SSL_CERT_FILE") as failed:
        kafka_jars.fetch(tmp_path, Progress(), fetching)
    assert "\n" not in str(failed.value)
    assert {"uv", "python-requests"} <= set(proxy.asked)


def test_without_a_choice_the_machines_own_certificates_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in certificates.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    authorities = certificates.trusted()
    assert authorities is None or "BEGIN CERTIFICATE" in authorities.read_text()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert certificates.trusted() == authorities
