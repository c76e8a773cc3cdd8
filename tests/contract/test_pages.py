"""Links on pages resolve, names on them exist, and their examples work as written."""

import asyncio
import json
import re
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from deploy.k8s.generate import variables
from deploy.local.paths import ROOT
from services.intake.actions.registry import KINDS
from services.intake.api.actions import registered
from services.intake.api.resources import RESOURCES
from services.intake.submission.schemas import Submission
from shared.domain.clock import SystemClock
from shared.systems.bus.upload import read_result
from shared.systems.check import check
from shared.systems.registry import Downstreams, Wiring, refuse_to_send
from tests.contract.test_commands import words
from tests.fixtures.observation import METRICS, rules
from tests.fixtures.pages import TEXTS, blocks
from tests.fixtures.wire import contract

COMMAND = r"(?:^|(?<!-n)[`/ ])dsr ([a-z][a-z-]+(?: [a-z-]+)?)"
ID = "0190b7a0-0000-7000-8000-000000000001"


def everything(*folders: str, of: Collection[str] = (".py", ".toml", ".yaml", ".sh")) -> str:
    """The text of all files in these folders."""
    files = (file for folder in folders for file in sorted((ROOT / folder).rglob("*")) if file.suffix in of)
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def anchors(page: str) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_there(page: Path, link: str) -> bool:
    """Whether a link of that page leads to a file and, in a page, to a heading."""
    name, _, anchor = link.partition("#")
    file = (page.parent / name) if name else page
    return file.exists() and (not anchor or anchor in anchors(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", TEXTS)
def test_a_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!\w+:)([^)\s]+)\)", TEXTS[page])
    assert [link for link in links if not is_there(ROOT / page, link)] == []


def test_the_words_for_a_category_are_those_of_the_policy() -> None:
    known = tomllib.loads((ROOT / "shared" / "policy" / "identity.toml").read_text(encoding="utf-8"))["categories"]
    rows = dict(re.findall(r"^\| (\w+) \| (`.+`) \|$", TEXTS["docs/plug-in/sql.md"], re.MULTILINE))
    assert {kind: {*re.findall(r"`(\w+)`", rows[kind])} for kind in known} == {k: {*w} for k, w in known.items()}


def test_the_runbook_of_an_alert_is_there() -> None:
    links = [rule["annotations"]["runbook"] for rule in rules() if "alert" in rule]
    assert [link for link in links if not is_there(ROOT / "README.md", link)] == []


def files() -> Callable[[str], bool]:
    return lambda name: (ROOT / name).exists()


def settings() -> Callable[[str], bool]:
    read = re.findall(r"DSR_[A-Z0-9_]+", everything("shared", "services", "deploy", "tests/fakes"))
    declared = re.findall(r'_env = "(DSR_[A-Z0-9_]+)"', "\n".join(TEXTS.values()))
    return {*read, *declared, *(name for name, _ in variables())}.__contains__


def routes() -> Callable[[str], bool]:
    paths = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    named = {"{kind}": f"({'|'.join({*KINDS, *RESOURCES, '{kind}'})})", "{action}": f"({'|'.join(_actions())})"}
    known = [re.compile(re.sub(r"\{[^}]+\}", lambda each: named.get(each[0], "[^/]+"), path)) for path in paths]
    return lambda name: any(route.fullmatch(name.rstrip("./")) for route in known)


def commands() -> Callable[[str], bool]:
    known = set(words())
    groups = {command.partition(" ")[0] for command in known if " " in command}
    return lambda name: (name if name.partition(" ")[0] in groups else name.partition(" ")[0]) in known


def actions() -> Callable[[str], bool]:
    return {*_actions(), "approve", "reject"}.__contains__


def _actions() -> set[str]:
    return {each.name for each, _ in registered()} | {"{action}", "{name}"}


def checks() -> Callable[[str], bool]:
    known = {*re.findall(r"def (test_\w+)\(", everything("tests"))}
    return known.__contains__


@pytest.mark.parametrize(
    ("pattern", "known"),
    [
        (r"`((?:deploy|docs|shared|services|tests)/[\w./-]+)`", files),
        (r"DSR_[A-Z0-9_]*[A-Z0-9]\b(?!_)", settings),
        (r"/v1/[A-Za-z0-9_/{}.$-]*", routes),
        (COMMAND, commands),
        (r"dsr act ([a-z][a-z/-]+)", actions),
        (r"`(test_\w+)`", checks),
    ],
)
def test_what_a_page_names_exists(pattern: str, known: Callable[[], Callable[[str], bool]]) -> None:
    exists = known()
    named = {(page, name) for page, text in TEXTS.items() for name in re.findall(pattern, text, re.MULTILINE)}
    assert named
    assert sorted((page, name) for page, name in named if not exists(name)) == []


def test_a_command_of_a_manifest_exists() -> None:
    exists = commands()
    named = re.findall(COMMAND, everything("deploy/k8s", of=(".yaml",)), re.MULTILINE)
    assert [name for name in named if not exists(name)] == []


def test_every_metric_is_explained_by_a_page() -> None:
    assert {name for name in METRICS if not any(f"`{name}`" in text for text in TEXTS.values())} == set()


def test_every_block_that_is_to_be_run_is_run_by_a_test() -> None:
    named = re.findall(r"^```sh run=([\w-]+)$", "\n".join(TEXTS.values()), re.MULTILINE)
    text = everything("tests", of=(".py",))
    assert named
    assert [name for name in named if f'"{name}"' not in text] == []


def test_every_submission_is_accepted() -> None:
    bodies = re.findall(r"-d '(\{\"right\".*?\})'", "\n".join(TEXTS.values()), re.DOTALL)
    assert bodies
    for body in bodies:
        assert Submission.model_validate_json(body).right


# What a team reads of how its system is connected: the tables and messages of the pages, put together.
WIRING = Wiring(
    {"DSR_ORDERS_DSN": "postgresql://127.0.0.1/orders", "ZENDESK_USER": "us", "ZENDESK_TOKEN": "secret"},
    SystemClock(),
    refuse_to_send,
    b"",
)


def connected(folder: Path, tables: str, dataset: str) -> Path:
    """The two files of the pages, in a folder; what is wrong with them fails."""
    (folder / "orders.toml").write_text(dataset)
    (folder / "downstreams.toml").write_text(tables)
    systems = asyncio.run(check(folder / "downstreams.toml", WIRING, live=False))
    assert [fault for system in systems for fault in system.faults] == []
    return folder / "downstreams.toml"


def store() -> str:
    """The dataset of the first page; that of four tables is tried by an integration test."""
    return "".join(text for text in blocks("toml", "[tables.") if "[tables.newsletter]" not in text)


def test_the_systems_and_datasets_of_the_pages_are_accepted(tmp_path: Path) -> None:
    tables = blocks("toml", "adapter =")
    loaded = Downstreams.load(connected(tmp_path, "".join(tables), store()), WIRING)
    named = re.findall(r"^\[(\w+)\]", "".join(tables), re.MULTILINE)
    assert named == [loaded.get(name).name for name in named]


def test_customers_of_a_page_are_separated(tmp_path: Path) -> None:
    [orders] = blocks("toml", 'dataset = "orders.toml"')
    [customers] = blocks("toml", "tenants = {")
    dataset = store().replace("primary_key", 'tenant = "served_domain"\nprimary_key')
    dataset = dataset.replace("columns = {", 'columns = { served_domain = { class = "T" },')
    dataset = dataset.replace(".columns]\n", '.columns]\nserved_domain = { class = "T" }\n')
    file = connected(tmp_path, orders + customers, dataset)
    known = [
        Downstreams.load(file, WIRING).get("orders").separates_tenant(tenant) for tenant in (None, "acme", "unknown")
    ]
    assert known == [True, True, False]


def test_the_messages_of_the_pages_are_taken_as_they_stand() -> None:
    kinds = {message["name"]: name for name, message in contract().messages.items()}
    shown = [json.loads(re.sub(r"\s*\n\s*", " ", text).replace('"…"', f'"{ID}"')) for text in blocks("json")]
    assert shown
    for message in shown:
        if kind := message.get("type"):
            contract().validator(kinds[kind]).validate(message)
        else:
            assert read_result(json.dumps(message).encode()).records
