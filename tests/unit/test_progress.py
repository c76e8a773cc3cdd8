"""Progress is a bar on a terminal and plain lines elsewhere."""

import io

import pytest
from rich.console import Console

from deploy.local.progress import Progress


def test_elsewhere_than_on_a_terminal_a_step_is_a_line_at_its_start_and_one_at_its_end() -> None:
    said = io.StringIO()
    with Progress(Console(file=said)).step("Seeding", total=2) as step:
        step.advance()
        assert said.getvalue() == "-> Seeding\n"
    assert said.getvalue().splitlines()[1].startswith("   Seeding: 0.")


def test_on_a_terminal_a_step_is_a_bar_with_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")  # a dumb one shows no bar
    said = io.StringIO()
    with Progress(Console(file=said, force_terminal=True, width=100)).step("Seeding", total=3) as step:
        step.reach(2)
        step.advance()
    assert "0/3" in said.getvalue()
    assert "✓" in said.getvalue()


def test_a_step_that_fails_is_not_told_as_done() -> None:
    said = io.StringIO()
    message = "no"
    with pytest.raises(OSError, match=message), Progress(Console(file=said)).step("Seeding"):
        raise OSError(message)
    assert said.getvalue() == "-> Seeding\n"
