"""Every exception of the policy check has a reason and is still needed."""

import json
import re
from pathlib import Path

import pytest
import yaml

from deploy.k8s.check import CHECKOV, checkov, rendered

EXCEPTIONS = yaml.safe_load(CHECKOV.read_text())["skip-check"]


def test_without_the_exceptions_these_checks_and_no_others_fail(tmp_path: Path) -> None:
    said = checkov(rendered(tmp_path), "--framework", "kubernetes", "--skip-download", "--output", "json")
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    assert {each["check_id"] for each in failed} == set(EXCEPTIONS)


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_has_its_reason_above_it(check: str) -> None:
    reason = re.search(rf"((?:^  # .+\n)+)  - {check}$", CHECKOV.read_text(), re.MULTILINE)
    assert reason
    assert len(reason[1]) > 80
