"""The policy check of `make lint` finds what it should, and every exception has a reason and is still needed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy import k8s_policy, k8s_tools

EXCEPTIONS = yaml.safe_load(k8s_policy.CONFIG.read_text())["skip-check"]
BAD = """
apiVersion: v1
kind: Pod
metadata: {name: bad, namespace: dsr}
spec:
  hostNetwork: true
  containers:
    - name: bad
      image: bad:latest
      securityContext: {privileged: true}
"""


@pytest.fixture(scope="module")
def venv() -> Path:
    return k8s_tools.installed()


def test_a_bad_pod_is_found(venv: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    said = k8s_policy.checkov(venv, [tmp_path / "bad.yaml"], "--config-file", str(k8s_policy.CONFIG))
    assert said.returncode == 1
    assert "privileged" in said.stdout
    assert "latest" in said.stdout


def test_without_the_exceptions_these_checks_and_no_others_fail(venv: Path, tmp_path: Path) -> None:
    files = k8s_policy.rendered(venv, tmp_path)
    said = k8s_policy.checkov(venv, files, "--framework", "kubernetes", "--skip-download", "--output", "json")
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    assert {each["check_id"] for each in failed} == set(EXCEPTIONS)


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_has_its_reason_above_it(check: str) -> None:
    reason = re.search(rf"((?:^  # .+\n)+)  - {check}$", k8s_policy.CONFIG.read_text(), re.MULTILINE)
    assert reason
    assert len(reason[1]) > 80
