"""The alert rules under promtool: each fires when it should, and not when it should not."""

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.observation import RULES
from tests.fixtures.prometheus import find_prometheus

TESTS = RULES.parent / "tests" / "alerts.yml"


@pytest.fixture(scope="module")
def programs() -> Path:
    return find_prometheus()


def promtool(programs: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(programs / "promtool"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_rule_is_one_that_prometheus_reads(programs: Path) -> None:
    checked = promtool(programs, "check", "rules", *sorted(RULES.glob("*.yml")))
    assert checked.returncode == 0, checked.stderr


def test_the_committed_configuration_is_one_that_prometheus_reads(programs: Path) -> None:
    checked = promtool(programs, "check", "config", "--syntax-only", RULES.parent / "prometheus.yml")
    assert checked.returncode == 0, checked.stderr


def test_every_alert_fires_when_it_should_and_only_then(programs: Path) -> None:
    ran = promtool(programs, "test", "rules", TESTS)
    assert ran.returncode == 0, ran.stdout + ran.stderr
