"""Dashboards, rules, runbook and code name the same metrics, and Grafana can take the dashboards as they are."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from deploy.local.paths import ROOT
from shared.runtime.metrics import PEOPLE
from tests.fixtures.observation import (
    DASHBOARDS,
    GRAFANA,
    METRICS,
    PanelQuery,
    alert_tests,
    names_in,
    panel_queries,
    rules,
)

FILES = sorted(DASHBOARDS.glob("*.json"))
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def datasources(part: Any) -> Iterator[dict[str, str]]:
    """Every data source that a part of a dashboard names."""
    if isinstance(part, list):
        for each in part:
            yield from datasources(each)
    elif isinstance(part, dict):
        if "datasource" in part:
            yield part["datasource"]
        yield from datasources(list(part.values()))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_is_in_the_form_in_which_a_change_is_a_small_difference(path: Path) -> None:
    text = path.read_text()
    form = json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert text == form, f"run .venv/bin/python -m json.tool --indent 2 --sort-keys {path} {path}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_dashboard_can_be_imported_and_edited_where_sources_have_other_names(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board.keys() >= {"title", "uid"}
    assert board["schemaVersion"] >= 36
    assert board["editable"]
    assert board.get("id") is None, "Grafana refuses a provisioned dashboard with a number of its own"
    assert "__inputs" not in board, "exported for sharing externally: a file cannot answer what it asks for"
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    chosen = {f"${{{each['name']}}}": each for each in board["templating"]["list"] if each["type"] == "datasource"}
    assert {(each["uid"], each["type"]) for each in datasources(board)} == {
        (name, each["query"]) for name, each in chosen.items()
    }
    provisioned = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "dsr.yaml").read_text())["datasources"]
    ours = {(source["type"], source["uid"], source["name"]) for source in provisioned}
    assert {(each["query"], each["current"]["value"], each["current"]["text"]) for each in chosen.values()} <= ours


def test_no_two_dashboards_have_the_same_address() -> None:
    assert len({json.loads(path.read_text())["uid"] for path in FILES}) == len(FILES) >= 3


@pytest.mark.parametrize("query", list(panel_queries()), ids=lambda each: f"{each.dashboard}: {each.panel}")
def test_every_metric_of_a_dashboard_exists_in_code(query: PanelQuery) -> None:
    if query.source == "prometheus" and not query.query.startswith("sum(up"):
        assert names_in(query.query)
    assert names_in(query.query) <= METRICS | RECORDED


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_metric_of_a_rule_exists_in_code(rule: dict[str, str]) -> None:
    assert names_in(rule["expr"]) <= METRICS | RECORDED


def test_every_name_is_a_metric_and_every_metric_has_its_name_in_the_list() -> None:
    families = [family for registry in (REGISTRY, PEOPLE) for family in registry.collect()]
    ours = [f for f in families if f.name.startswith("dsr_")]
    assert {f"{f.name}_total" if f.type == "counter" else f.name for f in ours} == METRICS


def test_every_alert_has_a_section_in_the_runbook_and_every_section_an_alert() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    sections = dict(re.findall(r"^### (Dsr\w+)$(.*?)(?=^##|\Z)", runbook, re.MULTILINE | re.DOTALL))
    assert sections.keys() == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert "**Do**" in sections[name], f"{name}: say what to do"


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for case in alert_tests():
        for check in case["alert_rule_test"]:
            seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {name: {True, False} for name in ALERTS}


def test_every_metric_is_explained_in_the_document() -> None:
    document = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"`(dsr_[a-z0-9_]+)`", document)) == METRICS
