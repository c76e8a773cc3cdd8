"""The deployment: the compose file, the generated manifests, the dashboards and rules with their metrics."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from deploy.compose import prepare
from deploy.k8s.generate import K8S, PARTITIONS, documents
from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.up import sample
from services.console.settings import ConsoleSettings
from services.correspondence.mail.__main__ import MEMORY
from services.correspondence.settings import ImapSettings
from shared.app.service import Service
from shared.domain import topics
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.domain.user_events import read_emitters
from shared.runtime.metrics import PEOPLE
from shared.runtime.settings import TelemetrySettings
from shared.storage import grants
from shared.systems.file import read
from tests.fixtures.observation import (
    DASHBOARDS,
    DECLARING,
    GRAFANA,
    METRICS,
    PanelQuery,
    alert_tests,
    names_in,
    panel_queries,
    rules,
)

COMPOSE = ROOT / "compose.yaml"
COMPOSED = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = COMPOSED["services"]


def test_the_compose_file_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_it_runs_every_service_and_publishes_on_this_machine_alone() -> None:
    for name in ServiceName:
        service = SERVICES[name.value]
        assert service["command"] == [name.value]
        assert service["read_only"] is True
        assert service["environment"].keys() >= {"DSR_POSTGRES_DSN", "DSR_KAFKA_BOOTSTRAP", "DSR_VAULT_KEYRING"}
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_everything_that_it_mounts_is_there_and_what_comes_from_here_is_mounted_to_be_read_alone() -> None:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    mounted = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":") for volume in volumes]
    here = [parts for parts in mounted if parts[0].startswith(".")]
    assert len(here) >= 4
    for source, _target, *mode in here:
        assert (ROOT / source).exists(), source
        assert mode == ["ro"], source
    assert {parts[0] for parts in mounted if parts not in here} == set(COMPOSED["volumes"])


def test_prometheus_asks_every_service_by_its_name_with_the_token_that_it_was_given() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{name}:8080" for name in ServiceName}
    assert {each["labels"]["instance"] for each in job["static_configs"]} == set(ServiceName)
    assert job["authorization"]["credentials_file"] == "/tokens/metrics"
    assert {"tokens:/tokens:ro", "./deploy/prometheus/rules:/etc/prometheus/rules:ro"} <= {
        *SERVICES["prometheus"]["volumes"]
    }
    assert all("inside" in SERVICES[name]["networks"] for name in ("prometheus", *ServiceName))


@pytest.mark.parametrize("name", ["deadline", "intake"])
def test_a_service_takes_its_token_from_a_file_and_its_name_from_the_command(tmp_path: Path, name: str) -> None:
    """As the container would run it, with a command that says how it was called."""
    (tmp_path / "metrics").write_text("a token")
    fake = tmp_path / "dsr"
    fake.write_text('#!/bin/sh\necho "$DSR_TELEMETRY_PRIVACY_TOKEN|$*"\n')
    fake.chmod(0o755)
    service = SERVICES[name]
    entrypoint = [word.replace("$$", "$") for word in service["entrypoint"]]
    entrypoint = [re.sub("/(tokens|secrets)", str(tmp_path), word) for word in entrypoint]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [*entrypoint, *service["command"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"a token|run {name}"


def test_it_starts_without_variables_and_declares_the_sample_shop() -> None:
    for service in SERVICES.values():
        words = re.findall(r"(?<!\$)\$\{(.*?)\}", str(service))
        assert [each for each in words if ":-" not in each] == []
    folder = re.sub(r"\$\{.*:-(.*)\}.*", r"\1", SERVICES["erasure"]["volumes"][-1])
    assert ROOT / folder == sample.DOWNSTREAMS.parent
    environment = SERVICES["erasure"]["environment"]
    assert environment["DSR_POLICY_OVERLAY"] == f"/etc/dsr/downstreams/{sample.POLICY.name}"
    (shop,) = read(sample.DOWNSTREAMS, environment)
    assert shop.enabled


def test_a_browser_and_intake_reach_the_identity_provider_by_one_address() -> None:
    intake, provider = SERVICES["intake"], SERVICES["identity-provider"]
    port, console, _everywhere = provider["entrypoint"][-3:]
    assert provider["network_mode"] == "service:intake"
    assert SERVICES["mailbox"]["network_mode"] == "service:correspondence"
    assert intake["environment"]["DSR_CONSOLE_ISSUER"] == f"${{DSR_CONSOLE_ISSUER:-http://127.0.0.1:{port}}}"
    assert f"127.0.0.1:{port}:{port}" in intake["ports"]
    assert console == intake["environment"]["DSR_PORTAL_URL"] == ConsoleSettings().url


def test_grafana_finds_its_dashboards_and_sources() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "dsr.yaml").read_text())["providers"][0]
    assert mounts[f"./{DASHBOARDS.relative_to(ROOT)}"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    sources = (GRAFANA / "provisioning" / "datasources" / "dsr.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", sources)) <= set(grafana["environment"])
    assert grafana["environment"]["DSR_GRAFANA_POSTGRES_USER"] == grants.DASHBOARDS


async def test_the_first_start_makes_what_all_others_need_and_a_second_one_changes_nothing(
    tmp_path: Path, empty_database: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)  # only root gives a file away
    folders = tmp_path / "secrets", tmp_path / "tokens"
    made = []
    for folder in folders:
        folder.mkdir()
    try:
        for _ in range(2):
            await prepare(empty_database, kafka_bootstrap, *folders)
            made.append(_texts(tmp_path))
        customers = f"{empty_database}_sample_shop"
        assert (await databases.fetch(customers, "SELECT count(*) FROM customer"))[0][0] == 200
    finally:
        await sample.drop(empty_database)
        for statement in ("DROP OWNED BY", "DROP ROLE"):
            await databases.fetch(empty_database, f"{statement} {grants.DASHBOARDS}")
    assert set(made[0]) == {"keyring.json", "metrics", "grafana"}
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*/*")}


# What of the manifests is generated is what the code says; tests/deploy checks them as a cluster would.
@cache
def generated(path: str) -> dict[str, Any]:
    """The specifications of a generated file by the names of their objects."""
    return {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all((K8S / path).read_text())}


def test_the_generated_manifests_are_what_the_code_says() -> None:
    for path, content in documents().items():
        assert (K8S / path).read_text() == content, f"{path}: the code has changed: run `make k8s`"


def test_correspondence_has_memory_for_the_longest_mail_and_its_parser() -> None:
    deployment = yaml.safe_load((K8S / "base/mail.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 2**20
    [bound] = [each.le for each in ImapSettings.model_fields["message_bytes"].metadata if hasattr(each, "le")]
    assert limit >= 100 * 2**20 + 8 * bound + MEMORY


def test_every_service_is_scaled_by_its_topics_tasks_and_deadlines() -> None:
    objects = generated("components/autoscaling/scaledobjects.yaml")
    for service in ServiceName:
        scaled = objects[f"dsr-{service}"]
        consumed = {t["metadata"]["topic"] for t in scaled["triggers"] if t["type"] == "kafka"}
        assert consumed == {topic.value for topic, access in TOPIC_ACCESS.items() if service in access.readers}
        counted = {t["name"] for t in scaled["triggers"] if t["type"] == "postgresql"}
        assert counted == ({"backlog", "earliest-deadline"} if service in grants.FULFILLING else set())
        assert scaled["scaleTargetRef"]["name"] == f"dsr-{service}"
        assert scaled["maxReplicaCount"] <= PARTITIONS


def test_service_declares_the_rights_of_its_user() -> None:
    users = generated("components/kafka/users.yaml")
    for name in ServiceName:
        main = importlib.import_module(f"services.{name}.__main__")
        getattr(main, "configure", lambda: None)()
        service: Service = main.service
        acls = users[f"dsr-{name}"]["authorization"]["acls"]
        allowed = {
            operation: {a["resource"]["name"] for a in acls if operation in a["operations"]}
            for operation in ("Read", "Write")
        }
        subscribed = {
            topic
            for several in service.subscriptions.values()
            for each in several
            for topic in ([each.event.topics[each.right]] if each.right else each.event.topics.values())
        }
        writes = {topic for topic, access in TOPIC_ACCESS.items() if name is access.writer}
        emitters = read_emitters() if name is ServiceName.INTAKE else ()
        foreign = {f(emitter) for emitter in emitters for f in (topics.user_events, topics.user_events_group)}
        own = {name, topics.dead_letters(name)}
        assert allowed["Read"] == {*subscribed, *own, *foreign} == {*topics.read_by(name), *own, *foreign}
        status = {topics.STATUS} if name is ServiceName.INTAKE else set()
        assert allowed["Write"] == {*writes, *status, topics.dead_letters(name)}


def test_no_access_rule_has_a_wildcard_and_every_topic_named_is_declared() -> None:
    declared = generated("components/kafka/topics.yaml")
    for user in generated("components/kafka/users.yaml").values():
        for acl in user["authorization"]["acls"]:
            assert acl["resource"]["patternType"] == "literal"
            assert "*" not in acl["resource"]["name"]
            assert not {"All", "ClusterAction"} & set(acl["operations"])
            assert acl["resource"]["type"] == "group" or acl["resource"]["name"] in declared


# Dashboards, rules and their metrics.

FILES = sorted(DASHBOARDS.glob("*.json"))
RECORDED = {rule["record"] for rule in rules() if "record" in rule}
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def datasources(part: Any) -> Iterator[dict[str, str]]:
    """Yields the data sources in a part of a dashboard."""
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
    name = f"{TelemetrySettings.prefix}PRIVACY_TOKEN"
    assert {"name": name, "valueFrom": {"secretKeyRef": {**SECRET, "optional": True}}} in service["env"]


# No metric is declared in vain: each is set or counted by the product, and a test names each.
DECLARED = [ROOT / "shared" / "runtime" / "metrics.py", *DECLARING]
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
    """Yields the variables that a module uses: `metrics.OPEN`, or `OPEN` where it is imported or declared."""
    known = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    known |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith(".metrics")
        for alias in node.names
    }
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="metrics"), attr=name):
                yield name
            case ast.Name(id=name, ctx=ast.Load()) if name in known:
                yield name


@cache
def used_somewhere() -> set[str]:
    texts = [path.read_text() for path in PRODUCT if path.name != "metrics.py"]
    return {name for text in texts if re.search("metrics|prometheus", text) for name in used(ast.parse(text))}


@cache
def asserted_somewhere() -> set[str]:
    return {name for path in TESTS for name in re.findall(r'"(dsr_\w+)"', path.read_text())}


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
