"""The alert rules under promtool: each fires when it should, and not when it should not."""

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.fixtures.observation import RULES, rules
from tests.fixtures.prometheus import complete, find_prometheus

ALERTS = [rule["alert"] for rule in rules() if "alert" in rule]
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


@pytest.mark.parametrize("broken", ["vector(1) < 0", "vector(1)"], ids=["never", "always"])
@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_that_fires_never_or_always_is_noticed(
    programs: Path, tmp_path: Path, alert: str, broken: str
) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    for path in RULES.glob("*.yml"):
        groups = yaml.safe_load(path.read_text())
        for rule in [rule for group in groups["groups"] for rule in group["rules"]]:
            if rule.get("alert") == alert:
                rule["expr"] = broken
        (tmp_path / "rules" / path.name).write_text(yaml.safe_dump(groups))
    (tmp_path / "tests" / TESTS.name).write_text(TESTS.read_text())
    ran = promtool(programs, "test", "rules", tmp_path / "tests" / TESTS.name)
    assert ran.returncode != 0
    assert alert in ran.stdout + ran.stderr


def test_a_download_that_was_cut_short_does_not_count(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "prometheus").write_bytes((programs / "prometheus").read_bytes()[:1_000_000])
    (tmp_path / "promtool").symlink_to(programs / "promtool")
    (tmp_path / "prometheus").chmod(0o755)
    assert not complete(tmp_path)
    assert complete(programs)
