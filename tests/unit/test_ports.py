"""Ports that are given out: to nobody twice, also not to another process of the same machine."""

import json
import secrets
import subprocess
import sys

import pytest

from deploy.local import ports
from deploy.local.paths import ROOT

_WIDTH = 200
_THEIRS = "import json, sys; from deploy.local import ports; ports._LOWEST, ports._HIGHEST = map(int, sys.argv[1:]); "
_TELL = "print(json.dumps(ports.free_ports(60)))"


def test_a_port_that_was_given_out_is_given_to_no_other_process_before_a_server_listens_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowest = 15_000 + secrets.randbelow(15_000)
    monkeypatch.setattr(ports, "_LOWEST", lowest)
    monkeypatch.setattr(ports, "_HIGHEST", lowest + _WIDTH)
    ours = ports.free_ports(60)
    command = [sys.executable, "-c", _THEIRS + _TELL, str(lowest), str(lowest + _WIDTH)]
    theirs = json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)
    assert len({*ours, *theirs}) == 120
