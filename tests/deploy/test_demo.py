"""The demonstration as the README says to run it."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.paths import ROOT

BESIDE = ("apt-get", "dpkg-deb", "prometheus", "promtool", "docker", "podman", "mvn")
"""Programs that a machine may lack, or have in another version than ours."""


def test_it_ends_well_and_asks_for_nothing_but_python(tmp_path: Path) -> None:
    for name in BESIDE:
        (tmp_path / name).write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/called\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.demo", "--exit"],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.defpath}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "All is as it should be." in ran.stdout
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / "called").exists()
