"""The policy check finds what it should, and every exception has a reason and is still needed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.k8s.check import CHECKOV, OVERLAYS, RENDERED, checkov, render

EXCEPTIONS = yaml.safe_load(CHECKOV.read_text())["skip-check"]
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


def test_a_bad_pod_is_found(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(BAD)
    said = checkov([tmp_path / "bad.yaml"], "--config-file", str(CHECKOV))
    assert said.returncode == 1
    assert "privileged" in said.stdout
    assert "latest" in said.stdout


def test_without_the_exceptions_these_checks_and_no_others_fail() -> None:
    for overlay in OVERLAYS:
        render(overlay)
    files = [RENDERED / f"{overlay}.yaml" for overlay in OVERLAYS]
    said = checkov(files, "--framework", "kubernetes", "--skip-download", "--output", "json")
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    assert {each["check_id"] for each in failed} == set(EXCEPTIONS)


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_has_its_reason_above_it(check: str) -> None:
    reason = re.search(rf"((?:^  # .+\n)+)  - {check}$", CHECKOV.read_text(), re.MULTILINE)
    assert reason
    assert len(reason[1]) > 80
