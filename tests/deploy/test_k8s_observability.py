"""What the cluster's Prometheus and Grafana are given is what the repository says of alerts and dashboards."""

import re

import yaml

from deploy.k8s.check import Object
from shared.domain.topics import ServiceName
from tests.fixtures.manifests import of, one
from tests.fixtures.observation import DASHBOARDS, GRAFANA, RULES, rules

LARGEST = 1024 * 1024
"""Bytes that a ConfigMap can hold."""


def test_the_cluster_gets_every_rule_as_prometheus_has_it(production: list[Object]) -> None:
    groups = one(production, "PrometheusRule", "dsr")["spec"]["groups"]
    assert [rule for group in groups for rule in group["rules"]] == rules()
    names = [group["name"] for group in groups]
    assert len(set(names)) == len(names) == sum(path.read_text().count("- name:") for path in RULES.glob("*.yml"))


def test_the_cluster_gets_every_dashboard_where_grafana_s_sidecar_looks(production: list[Object]) -> None:
    found = [each for each in of(production, "ConfigMap") if "grafana_dashboard" in each["metadata"].get("labels", {})]
    given = {name: text for each in found for name, text in each["data"].items()}
    assert given == {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "dsr.yaml").read_text())["providers"][0]
    for each in found:
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"]["grafana_folder"] == provider["folder"]


def test_every_config_map_is_small_enough(objects: list[Object]) -> None:
    for each in of(objects, "ConfigMap"):
        assert sum(len(text.encode()) for text in each["data"].values()) < LARGEST


def test_prometheus_misses_every_service_by_the_name_of_its_pods_and_on_one_machine(production: list[Object]) -> None:
    (alert,) = [rule for rule in rules() if rule.get("alert") == "DsrServiceDown"]
    missed = {name: pods for pods, name in re.findall(r'instance=~"([^"]+)"}\), "instance", "(\w+)"', alert["expr"])}
    assert missed.keys() == set(ServiceName)
    deployed = {each["metadata"]["name"] for each in of(production, "Deployment")}
    for name in ServiceName:
        assert f"dsr-{name}" in deployed
        for instance in (name.value, f"dsr-{name}-6c7d9f-2xk4q"):
            assert [each for each, pods in missed.items() if re.fullmatch(pods, instance)] == [name]
