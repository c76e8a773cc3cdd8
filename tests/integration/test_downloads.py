"""What fetches packages and jars trusts the certificates that SSL_CERT_FILE names, and says in a line what is wrong."""

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from deploy.local import certificates, kafka_jars, venv
from deploy.local.authority import issue
from deploy.local.certificates import DownloadFailedError
from deploy.local.ports import HOST
from deploy.local.progress import Progress

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
    issued = issue(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.asked.append(self.headers["User-Agent"].partition("/")[0])
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        known = Proxy(f"https://127.0.0.1:{server.server_port}", issued.authority)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield known
        server.shutdown()
        thread.join()


def test_jars_and_packages_are_asked_for_where_the_companys_own_certificate_stands_in_between(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in certificates.CHOSEN:
        monkeypatch.delenv(name, raising=False)
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
