"""The demonstration, watched by a Prometheus: it ends well, asks for nothing but Python, and no alert is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.demo.__main__ import HERE
from deploy.local.paths import ROOT
from shared.domain.topics import ServiceName
from tests.fixtures.prometheus import Prometheus, find_prometheus

READY, DONE = "Ready after", "Everything stays up until Ctrl-C."
TOOLS = ("apt-get", "dpkg-deb", "prometheus", "promtool", "docker", "podman", "mvn")
"""Programs that a machine may lack, or have in another version than ours."""


class Watched(NamedTuple):
    """The result of a run of the demonstration."""

    status: int
    said: str
    called: str
    alerts: list[str]


@pytest.fixture(scope="module")
def watched(run_folder: Path) -> Watched:
    """The demonstration, run to its end."""
    programs = run_folder / "programs"
    programs.mkdir()
    for name in TOOLS:
        (programs / name).write_text(f"#!/bin/sh\necho {name} >> {programs}/called\nexit 1\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.defpath}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "deploy.demo"]
    said, alerts = "", []
    find_prometheus()  # it may have to be fetched: what it is to watch would be over by then
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as demo:
        assert demo.stdout is not None
        prometheus = Prometheus(run_folder / "prometheus-demo", HERE / "services" / "prometheus.json")
        try:
            for line in demo.stdout:
                said += line
                if line.startswith(READY):
                    prometheus.start()
                if line.startswith(DONE):
                    alerts = _alerts_left(prometheus)
                    assert demo.poll() is None, f"it ended with {demo.returncode}, and had said: {said}"
                    demo.send_signal(signal.SIGINT)
        except BaseException:
            demo.send_signal(signal.SIGINT)  # nothing else ends it
            raise
        finally:
            prometheus.stop()
    called = programs / "called"
    return Watched(demo.returncode, said, called.read_text() if called.exists() else "", alerts)


def _alerts_left(prometheus: Prometheus) -> list[str]:
    """The alerts when it has seen every service, however soon after its start the demonstration was over."""
    ends = time.monotonic() + 120
    while not prometheus.query(f'count(up{{job="dsr"}} == 1) == {len(ServiceName)}') or prometheus.query("ALERTS"):
        if time.monotonic() > ends:
            return [f"{each['metric']} {each['value'][1]}" for each in prometheus.query('up{job="dsr"} or ALERTS')]
        time.sleep(0.2)  # scrapes are not signalled
    return []


def test_it_ends_well(watched: Watched) -> None:
    assert watched.status == 0, watched.said
    assert "All is as it should be." in watched.said
    assert "Traceback" not in watched.said


def test_it_asks_for_nothing_but_python(watched: Watched) -> None:
    assert watched.called == ""


def test_it_leaves_no_alert_that_fires_or_is_pending(watched: Watched) -> None:
    assert watched.alerts == []
