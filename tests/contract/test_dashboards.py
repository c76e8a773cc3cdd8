"""Dashboards, rules, runbook and code name the same metrics, and the committed dashboards are what the code says."""

import re
from collections import defaultdict

import pytest
from prometheus_client import REGISTRY

from deploy.grafana import __main__ as grafana
from deploy.local.paths import ROOT
from shared.runtime.metrics import PEOPLE
from tests.fixtures.observation import GRAFANA, METRICS, Asked, alert_tests, asked, names_in, rules

RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def test_the_committed_dashboards_are_what_the_code_says() -> None:
    for name in grafana.DASHBOARDS:
        committed = (grafana.FOLDER / f"{name}.json").read_text()
        assert committed == grafana.text(name), "the code has changed: run `make dashboards`"
    assert {path.stem for path in grafana.FOLDER.glob("*.json")} == set(grafana.DASHBOARDS)


@pytest.mark.parametrize("query", list(asked()), ids=lambda each: f"{each.dashboard}: {each.panel}")
def test_every_metric_of_a_dashboard_exists_in_code(query: Asked) -> None:
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


def test_grafana_is_told_of_every_source_that_a_dashboard_asks() -> None:
    provisioned = (GRAFANA / "provisioning" / "datasources" / "dsr.yaml").read_text()
    for source in {query.source for query in asked()}:
        assert f"uid: dsr-{source}" in provisioned
