"""`make up` and `make down` without servers: whom they take for their own, and what they write for scripts."""

import asyncio
import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from deploy.local.services import Services
from deploy.up import environment, sample, start
from deploy.up.lock import Lock
from deploy.up.supervisor import Supervisor
from services.intake.submission_schemas import Submission
from shared.domain.errors import Misconfigured
from shared.downstreams.check import check
from shared.downstreams.registry import Wiring

HOLDING = """
import sys
from pathlib import Path
from deploy.up.lock import Lock
with Lock(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""
KNOWN = {
    "api": "http://127.0.0.1:8000",
    "broker": "127.0.0.1:9092",
    "database": "postgresql://dsr@127.0.0.1/dsr",
    "keys": {"channel": "dsr_one", "privacy": "dsr_two"},
    "settings": {"DSR_POSTGRES_DSN": "postgresql://dsr:it's@127.0.0.1/dsr"},
}


def test_an_id_that_was_given_to_another_process_since_is_never_taken_for_the_supervisors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill(pid: int, _signal: int) -> None:
        raise AssertionError(f"{pid} is no process of ours")

    (tmp_path / "up.pid").write_text(str(os.getpid()))
    monkeypatch.setattr(os, "kill", kill)
    environment.write(tmp_path, KNOWN)
    start.down(tmp_path)
    assert "Nothing of `make up` runs here" in capsys.readouterr().out
    assert not (tmp_path / environment.FILE).exists()


def test_who_holds_the_lock_is_known_until_they_are_gone(tmp_path: Path) -> None:
    assert Lock(tmp_path).holder is None
    lock = Lock(tmp_path)
    command = [sys.executable, "-c", HOLDING, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        assert Lock(tmp_path).holder == holding.pid
        with pytest.raises(BlockingIOError), lock.held():
            pass
        assert not lock.wait_until_free(1)
        holding.kill()
        assert lock.wait_until_free(10)
    assert Lock(tmp_path).holder is None


def test_a_demonstration_beside_it_is_named_where_nothing_of_ours_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(start, "_DEMONSTRATION", tmp_path / "demo.lock")
    with (tmp_path / "demo.lock").open("a") as demonstration:
        fcntl.flock(demonstration, fcntl.LOCK_EX)
        start.down(tmp_path)
    assert "A demonstration runs" in capsys.readouterr().out


def test_keys_and_settings_are_for_this_user_alone_and_no_setting_of_the_platform_goes_into_a_shell(
    tmp_path: Path,
) -> None:
    environment.write(tmp_path, KNOWN)
    environment.write(tmp_path, KNOWN)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"environment.json": 0o600, "environment.sh": 0o600, "dsr": 0o700}
    assert json.loads((tmp_path / "environment.json").read_text()) == KNOWN
    shell = subprocess.run(
        ["/bin/sh", "-c", f". '{tmp_path}/environment.sh'; echo $API $CHANNEL_KEY; env"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert shell.stdout.startswith("http://127.0.0.1:8000 dsr_one\n")
    assert "DSR_" not in (tmp_path / "environment.sh").read_text()
    assert "export DSR_API_URL=http://127.0.0.1:8000\nexport DSR_API_KEY=dsr_two\n" in (tmp_path / "dsr").read_text()
    assert "export DSR_POSTGRES_DSN='postgresql://dsr:it'\"'\"'s@127.0.0.1/dsr'" in (tmp_path / "dsr").read_text()


def test_the_request_that_it_prints_and_those_of_the_pages_are_accepted() -> None:
    pages = [Path(page).read_text() for page in ("README.md", "docs/plug-in.md")]
    bodies = re.findall(r"-d '(\{.*?\})'", "\n".join([environment.curl("http://here", "key"), *pages]))
    assert len(bodies) == 3
    assert {Submission.model_validate_json(body).right for body in bodies} == {"access", "erasure"}


def test_going_on_with_another_schema_ends_with_what_to_type_instead(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, sample.DOWNSTREAMS, keep=True)
    services = Mock(spec=Services)
    services.prepare.side_effect = Misconfigured("the database has platform of another version")
    with pytest.raises(Misconfigured, match=r"version .`make up` without KEEP=1 starts empty.$"):
        supervisor.prepare(services)


def test_the_sample_store_is_declared_without_a_fault() -> None:
    (checked,) = asyncio.run(check(sample.DOWNSTREAMS, Wiring.of_command(), live=False))
    assert not checked.faults
    assert not checked.by_person
