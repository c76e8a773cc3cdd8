"""What docs/plug-in.md and its pages tell other teams is what the code takes."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from shared.domain.clock import SystemClock
from shared.domain.operations import Operation
from shared.downstreams.bus.messages import TaskRequested, parse_reply
from shared.downstreams.bus.upload import read_result
from shared.downstreams.check import check
from shared.downstreams.commands import lines_of, report
from shared.downstreams.registry import Downstreams, Wiring
from tests.unit.test_registry import publish

WAYS = ("sql", "opendsr", "bus", "http")
PAGE = "\n".join(Path(page).read_text() for page in ("docs/plug-in.md", *(f"docs/plug-in/{way}.md" for way in WAYS)))
TENANTS = (None, "acme", "harbour-cranes", "nobody-has-heard-of")
ID = "0190b7a0-0000-7000-8000-000000000001"


def blocks(language: str) -> list[str]:
    """The page's code blocks in that language, with ids in the place of dots."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    return [block.replace('"…"', f'"{ID}"') for block in found]


def test_the_four_tables_of_the_page_work_together(tmp_path: Path) -> None:
    orders, dataset, lines_of_orders, _, mailing, billing, helpdesk = blocks("toml")
    (tmp_path / "orders.toml").write_text(dataset + lines_of_orders)
    (tmp_path / "downstreams.toml").write_text(orders + mailing + billing + helpdesk)
    secrets = {"DSR_ORDERS_DSN": "postgresql://127.0.0.1/orders", "ZENDESK_USER": "us", "ZENDESK_TOKEN": "secret"}
    wiring = Wiring(secrets, SystemClock(), publish, b"")
    lines = lines_of(report(asyncio.run(check(tmp_path / "downstreams.toml", wiring, live=False))))
    assert [line.split(":")[0] for line in lines] == [
        "orders  (sql)  searched by email",
        "mailing  (opendsr)  searched by email",
        "billing  (bus)  searched by email",
        "helpdesk  (http)  searched by email",
        "an erasure",
    ]
    assert lines[0].endswith("; order in no category of the policy: needs the strictest proof")
    asked = "not compared by night with the list of who gets no marketing"
    assert lines[1].endswith(f": export, erase; by hand: rectify, restrict, lift, suppress; {asked}: mailing")
    assert lines[2].endswith(f": export, erase, rectify, restrict, lift, suppress; {asked}: billing")


def test_the_customers_of_the_page_are_told_apart_where_a_table_says_how(tmp_path: Path) -> None:
    orders, dataset, _, customers, _, billing, *_ = blocks("toml")
    (tmp_path / "orders.toml").write_text(
        dataset.replace("columns = {", 'tenant = "served_domain"\ncolumns = { served_domain = { class = "T" },')
    )
    (tmp_path / "downstreams.toml").write_text(f"{orders}{customers}{billing}tenants = true\n")
    wiring = Wiring({"DSR_ORDERS_DSN": "postgresql://127.0.0.1/orders"}, SystemClock(), publish, b"")
    loaded = Downstreams.load(tmp_path / "downstreams.toml", wiring)
    told = {name: [loaded.get(name).tells_apart(tenant) for tenant in TENANTS] for name in ("orders", "billing")}
    assert told == {"orders": [True, True, True, False], "billing": [True] * 4}
    lines = lines_of(report(asyncio.run(check(tmp_path / "downstreams.toml", wiring, live=False))))
    assert [line.partition("tells apart: ")[2].partition(";")[0] for line in lines[:2]] == [
        "acme, harbour-cranes",
        "any",
    ]


def test_the_messages_of_the_page_are_taken_as_they_stand() -> None:
    task, reply, copy = (re.sub(r"\s*\n\s*", " ", block) for block in blocks("json"))
    assert len(read_result(copy.encode()).records) == 1
    assert TaskRequested.model_validate_json(task).operation is Operation.ERASE
    assert parse_reply(reply.encode()).found == 3


@pytest.mark.parametrize(
    "said",
    [
        {"operation": "erase", "outcome": "erased", "found": 3, "changed": 3},
        {"operation": "erase", "outcome": "no_match"},
        {"operation": "locate", "outcome": "no_match"},
        {"operation": "erase", "outcome": "not_searched", "reason": "number_without_period"},
        {"operation": "erase", "outcome": "retained", "found": 3, "remaining": 3, "ground": "tax_law"},
        {"operation": "locate", "outcome": "located", "found": 3, "remaining": 3},
        {"operation": "locate", "outcome": "located", "found": 3, "remaining": 0},
        {"operation": "export", "outcome": "exported", "found": 3},
        {"operation": "lift", "outcome": "amended", "found": 3, "changed": 3},
        {"operation": "rectify", "outcome": "not_held"},
        {"operation": "locate", "outcome": "refused", "reason": "unpaid_invoice"},
    ],
)
def test_every_reply_of_the_pages_table_is_taken(said: dict[str, object]) -> None:
    reply = {"type": "dsr.task.replied.v1", "command_id": ID, "task_id": ID, **said}
    assert parse_reply(orjson.dumps(reply)).outcome == said["outcome"]
    assert f"`{said['outcome']}`" in PAGE


def test_the_files_that_the_page_names_exist() -> None:
    named = re.findall(r"`((?:shared|tests|docs|services)/[\w/.-]+)`", PAGE)
    assert named
    assert [path for path in named if not Path(path).exists()] == []


# What tests/acceptance/README.md names is there: a test for each number of the reviews, and for all that is shown.
ACCEPTANCE = Path("tests/acceptance/README.md").read_text(encoding="utf-8")
NUMBERS = (
    *(f"C{number}" for number in (1, 2, 3, 4, 5, 7, 8, 9, 10, 11)),
    *(f"M{number}" for number in (3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 17)),
    *(f"S{number}" for number in (1, 3, 8, 10, 19)),
)


def test_every_number_has_a_test_and_every_test_that_is_named_exists() -> None:
    rows = {
        number: row
        for row in re.findall(r"^\| ([CMS]\d.*)$", ACCEPTANCE, re.MULTILINE)
        for number in re.findall(r"[CMS]\d+", row.split("|")[0])
    }
    assert rows.keys() == set(NUMBERS)
    assert _without_a_test(rows) == []


def test_all_that_is_shown_of_what_is_kept_has_a_test_that_exists() -> None:
    shown = ACCEPTANCE.partition("| shown | by |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    assert shown
    assert _without_a_test({row: row for row in shown}) == []


def _without_a_test(rows: Mapping[str, str]) -> list[str]:
    """Rows that name no test, and tests that do not exist."""
    wrong = []
    for number, row in rows.items():
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        texts = {file: (Path("tests") / file).read_text(encoding="utf-8") for file, _ in named}
        wrong += [name for file, name in named if f"def {name}(" not in texts[file]] if named else [number]
    return wrong
