"""The policy check finds what it should, and every exception has a reason and is still needed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.k8s.check import CHECKOV, checkov, rendered

EXCEPTIONS = yaml.safe_load(CHECKOV.read_text())["skip-check"]
BAD = """
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: dsr}
spec:
  hostNetwork: true
  hostPID: true
  hostIPC: true
  containers:
    - name: bad
      image: bad:latest
      ports: [{containerPort: 80, hostPort: 80}]
      securityContext: {privileged: true}
"""
NUMBERS = {
    *(10, 12, 13),  # requests and limits
    14,  # the latest image
    *(16, 20, 28, 37),  # powers
    *(17, 18, 19, 26),  # the node's processes, memory, network and ports
    *(22, 23, 31, 38, 40),  # a file system to write on, root, no seccomp, a token of the API server, a low user
}


def test_a_bad_pod_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    said = checkov([tmp_path / "bad.yaml"], "--config-file", str(CHECKOV))
    assert said.returncode == 1
    assert {f"CKV_K8S_{number}" for number in NUMBERS} <= set(re.findall(r"CKV_K8S_\d+", said.stdout))


def test_without_the_exceptions_these_checks_and_no_others_fail(tmp_path: Path) -> None:
    said = checkov(rendered(tmp_path), "--framework", "kubernetes", "--skip-download", "--output", "json")
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    assert {each["check_id"] for each in failed} == set(EXCEPTIONS)


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_has_its_reason_above_it(check: str) -> None:
    reason = re.search(rf"((?:^  # .+\n)+)  - {check}$", CHECKOV.read_text(), re.MULTILINE)
    assert reason
    assert len(reason[1]) > 80
