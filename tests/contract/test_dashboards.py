"""Dashboards, rules, runbook and code name the same metrics, and Grafana can take the dashboards as they are."""

import ast
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from deploy.local.paths import ROOT
from shared.runtime.metrics import PEOPLE
from shared.runtime.settings import TelemetrySettings
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


def test_every_alert_is_tested_firing_and_not_firing() -> None:
    seen: dict[str, set[bool]] = defaultdict(set)
    for case in alert_tests():
        for check in case["alert_rule_test"]:
            seen[check["alertname"]].add(bool(check["exp_alerts"]))
    assert seen == {name: {True, False} for name in ALERTS}


# Who scrapes what: the privacy team the exact figures, with a token; everybody else what is for everybody.
K8S = ROOT / "deploy" / "k8s"
SECRET = {"name": "dsr-metrics", "key": "token"}


@pytest.fixture(scope="module")
def monitors() -> dict[str, Any]:
    """The pod monitors by name."""
    path = K8S / "components" / "observability" / "podmonitor.yaml"
    return {each["metadata"]["name"]: each for each in yaml.safe_load_all(path.read_text())}


def test_the_privacy_team_alone_scrapes_exact_figures_and_brings_the_token(monitors: dict[str, Any]) -> None:
    (exact,) = monitors["dsr-privacy"]["spec"]["podMetricsEndpoints"]
    (coarse,) = monitors["dsr"]["spec"]["podMetricsEndpoints"]
    assert (exact["path"], exact["authorization"]) == ("/metrics/privacy", {"type": "Bearer", "credentials": SECRET})
    assert (coarse["path"], "authorization" in coarse) == ("/metrics", False)


def test_no_selector_takes_both_monitors(monitors: dict[str, Any]) -> None:
    audiences = [each["metadata"]["labels"]["data-subject-requests/audience"] for each in monitors.values()]
    assert sorted(audiences) == ["everybody", "privacy"]


def test_job_and_pods_are_called_as_the_rules_know_them(monitors: dict[str, Any]) -> None:
    assert {job for rule in rules() for job in re.findall(r'job="(\w+)"', rule["expr"])} == {"dsr"}
    by_name = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
    for monitor in monitors.values():
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert {"targetLabel": "job", "replacement": "dsr"} in endpoint["relabelings"]
            assert by_name in endpoint["relabelings"]
    (scraped,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert (scraped["job_name"], scraped["metrics_path"]) == ("dsr", "/metrics/privacy")


def test_every_service_is_given_that_token_where_there_is_one() -> None:
    objects = yaml.safe_load_all((K8S / "base" / "service" / "service.yaml").read_text())
    (pod,) = [each["spec"]["template"]["spec"] for each in objects if each["kind"] == "Deployment"]
    (service,) = pod["containers"]
    name = f"{TelemetrySettings.model_config['env_prefix']}PRIVACY_TOKEN"
    assert {"name": name, "valueFrom": {"secretKeyRef": {**SECRET, "optional": True}}} in service["env"]


# No metric is declared in vain: each is set or counted by the product, and a test names each.
DECLARED = [ROOT / "shared" / "runtime" / "metrics.py", *sorted(ROOT.glob("services/*/metrics.py"))]
PRODUCT = [path for folder in ("services", "shared") for path in sorted((ROOT / folder).rglob("*.py"))]
TESTS = [path for folder in ("unit", "integration") for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))]
_SUFFIXES = ("", "_count", "_sum")


@cache
def variables() -> dict[str, str]:
    """The variable that holds each metric."""
    found = {}
    for node in (node for path in DECLARED for node in ast.parse(path.read_text()).body):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            name, (target,) = node.value.args[0], node.targets
            if isinstance(name, ast.Constant) and isinstance(target, ast.Name):
                found[str(name.value)] = target.id
    return found


def used(tree: ast.Module) -> Iterator[str]:
    """Which of those variables a module uses: `metrics.OPEN`, called or handed on, or `OPEN.labels` once imported."""
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".metrics")
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="metrics"), attr=name):
                yield name
            case ast.Attribute(value=ast.Name(id=name)) if name in imported:
                yield name


def asserted(tree: ast.Module) -> Iterator[str]:
    """The strings in every test."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from (
                each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)
            )


@cache
def used_somewhere() -> set[str]:
    return {name for path in PRODUCT if path not in DECLARED for name in used(ast.parse(path.read_text()))}


@cache
def asserted_somewhere() -> set[str]:
    return {text for path in TESTS for text in asserted(ast.parse(path.read_text()))}


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_has_a_source_in_the_product(metric: str) -> None:
    assert variables()[metric] in used_somewhere()


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_is_read_by_a_test(metric: str) -> None:
    assert {metric + suffix for suffix in _SUFFIXES} & asserted_somewhere()


def test_a_metric_without_a_source_would_be_found() -> None:
    module = ast.parse(
        "from shared.runtime import metrics\nfrom shared.runtime.metrics import A, B\n"
        "A.labels('x')\nmetrics.C.set(1)\nf(metrics.D)"
    )
    assert set(used(module)) >= {"A", "C", "D"}
    assert "B" not in set(used(module))
