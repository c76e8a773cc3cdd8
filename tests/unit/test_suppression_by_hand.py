"""A list that no night compares is compared by hand: whom to take out is named by line, and nothing else."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from services.intake.client import suppression
from services.intake.client.api import Api
from services.intake.client.suppression import suppression as command

SUPPRESSED, UNREADABLE = {"boris@example.org", "+49301"}, {"nobody"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many contact points each call had; the API answers them all."""
    calls: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        points = [each["value"] for each in json.loads(request.content)["contact_points"]]
        calls.append(len(points))
        said = [
            "suppressed" if p in SUPPRESSED else "unreadable" if p in UNREADABLE else "not_suppressed" for p in points
        ]
        return httpx.Response(200, json={"check_id": "x", "answers": said})

    def run(work: Callable[[Api], Coroutine[Any, Any, None]]) -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://intake")
        asyncio.run(work(Api(client, patience=1)))

    monkeypatch.setattr(suppression, "run", run)
    return calls


def test_whom_to_take_out_of_a_list_is_named_by_line(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("ada@example.org\n\n boris@example.org \nnobody\n")
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt")])
    assert done.stdout.splitlines() == [
        "3  suppressed  boris@example.org",
        "4  unreadable  nobody",
        "2 of 3 are to be taken out",
    ]
    assert (done.exit_code, asked) == (1, [3])


@pytest.mark.parametrize("apart", [",", ";", "\t"])
def test_a_column_of_a_table_is_compared(tmp_path: Path, asked: list[int], apart: str) -> None:
    rows = [["name", "phone"], ["Ada", "+49302"], ["Boris", "+49301"], ["Chiara", ""]]
    (tmp_path / "list.csv").write_text("\ufeff" + "\n".join(apart.join(row) for row in rows))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.csv"), "--column", "phone", "--json"])
    assert json.loads(done.stdout) == {"line": 3, "contact_point": "+49301", "answer": "suppressed"}
    assert asked == [2]
    wrong = CliRunner().invoke(command, ["check", str(tmp_path / "list.csv"), "--column", "mail"])
    assert "has no column mail: its first line has 2 of other names" in str(wrong.exception)


def test_a_long_list_is_asked_about_in_parts(tmp_path: Path, asked: list[int]) -> None:
    (tmp_path / "list.txt").write_text("\n".join(f"p{n}@example.org" for n in range(10_001)))
    done = CliRunner().invoke(command, ["check", str(tmp_path / "list.txt")])
    assert (done.exit_code, asked, done.stdout) == (0, [10_000, 1], "0 of 10001 are to be taken out\n")
