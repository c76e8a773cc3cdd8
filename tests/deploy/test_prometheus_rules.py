"""The alert rules under promtool: each fires when it should, and not when it should not."""

import subprocess
from pathlib import Path

import pytest

from tests.fixtures.observation import RULES
from tests.fixtures.prometheus import find_prometheus


@pytest.mark.parametrize(
    "words",
    [
        ["check", "rules", *sorted(RULES.glob("*.yml"))],
        ["check", "config", "--syntax-only", RULES.parent / "prometheus.yml"],
        ["test", "rules", RULES.parent / "tests" / "alerts.yml"],
    ],
    ids=["every rule is read", "the committed configuration is read", "every alert fires when it should and only then"],
)
def test_prometheus_is_content(words: list[str | Path]) -> None:
    ran = subprocess.run([find_prometheus() / "promtool", *words], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
