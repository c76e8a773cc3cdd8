"""Pods: nothing in them that should not be, all that they need, and an orderly end."""

import copy
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.k8s.check import CHECKOV, Object, checkov, faults, named, rendered
from deploy.k8s.schemas import Schemas
from shared.domain.topics import ServiceName
from shared.runtime.settings import Settings
from shared.storage.grants import FULFILLING
from tests.fixtures.manifests import of, one, secret_names, settings_of, values
from tests.fixtures.observation import DASHBOARDS, GRAFANA, RULES, rules
from tests.fixtures.pages import TEXTS
from tests.fixtures.prometheus import find_prometheus

CLOSING_SECONDS = 10
"""Longest time to close the connections to the servers."""


def test_the_namespace_enforces_the_restricted_standard(objects: list[Object]) -> None:
    (namespace,) = of(objects, "Namespace")
    for mode in ("enforce", "warn", "audit"):
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert namespace["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}-version"].startswith("v1.")


def test_the_pods_that_the_broker_s_operator_makes_meet_it_too(objects: list[Object]) -> None:
    for kafka in of(objects, "Kafka"):
        broker, operators = kafka["spec"]["kafka"], kafka["spec"]["entityOperator"]
        made = ["kafkaContainer", "initContainer"] if "rack" in broker else ["kafkaContainer"]
        templates = [broker["template"][each] for each in made]
        templates += [operators["template"][f"{each}OperatorContainer"] for each in ("topic", "user")]
        for template in templates:
            assert template["securityContext"]["allowPrivilegeEscalation"] is False
            assert template["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        for template in (broker["template"], operators["template"]):
            assert template["pod"]["securityContext"]["runAsNonRoot"] is True
            assert template["pod"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_the_image_that_the_database_s_operator_starts_has_a_version(objects: list[Object]) -> None:
    for cluster in of(objects, "Cluster"):
        assert re.search(r":\d+\.\d+", cluster["spec"]["imageName"])


def test_no_secret_stands_in_a_manifest(objects: list[Object]) -> None:
    assert of(objects, "Secret") == []
    for key, value in values(objects):
        if re.search(r"(?i)password|secret_?key|token|credential", key):
            allowed = value in (None, False, "restricted") or str(value).startswith("dsr-")
            assert allowed or key == "automountServiceAccountToken", key
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", str(value)), key
        assert "PRIVATE KEY" not in str(value), key


def test_every_service_can_be_rolled_and_drained_without_a_gap(objects: list[Object]) -> None:
    said = settings_of(objects)
    steps = ("DSR_HTTP_LINGER_SECONDS", "DSR_PROCESS_DRAIN_SECONDS", "DSR_PROCESS_OUTBOX_SECONDS")
    longest = sum(float(said[step]) for step in steps) + CLOSING_SECONDS
    assert float(said["DSR_HTTP_LINGER_SECONDS"]) >= 5  # what endpoints and load balancers need to hear of it
    for service in ServiceName:
        deployment = one(objects, "Deployment", f"dsr-{service}")
        spec, pod = deployment["spec"], deployment["spec"]["template"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        (container,) = pod["spec"]["containers"]
        assert pod["spec"]["terminationGracePeriodSeconds"] > longest
        assert container["args"] == [service.value]
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
        labels = pod["metadata"]["labels"]
        zones = {spread["topologyKey"] for spread in pod["spec"]["topologySpreadConstraints"]}
        assert zones == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        selectors = [
            spec["selector"]["matchLabels"],
            one(objects, "PodDisruptionBudget", f"dsr-{service}")["spec"]["selector"]["matchLabels"],
            one(objects, "Service", f"dsr-{service}")["spec"]["selector"],
            *(spread["labelSelector"]["matchLabels"] for spread in pod["spec"]["topologySpreadConstraints"]),
        ]
        for selector in selectors:
            assert selector["app.kubernetes.io/name"] == f"dsr-{service}"
            assert selector.items() <= labels.items()
        account = one(objects, "ServiceAccount", pod["spec"]["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False


def test_the_environment_of_a_pod_is_all_that_its_settings_need(
    objects: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(objects)
    servers = {"DSR_POSTGRES_DSN": "postgresql://database/dsr", "DSR_KAFKA_BOOTSTRAP": "broker:9093"}
    for service in ServiceName:
        (container,) = one(objects, "Deployment", f"dsr-{service}")["spec"]["template"]["spec"]["containers"]
        secrets = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
        with monkeypatch.context() as environment:
            for name, value in settings.items():
                environment.setenv(name, value)
            for name, value in servers.items() if "dsr-servers" in secrets else ():
                environment.setenv(name, value)
            for each in container["env"]:
                environment.setenv(each["name"], each.get("value", "from a secret, as long as one has to be"))
            environment.setattr(Path, "is_file", lambda _: True)  # what the pod mounts is not on this machine
            read = Settings()
        assert read.http.port == container["ports"][0]["containerPort"]
        assert read.kafka.username == f"dsr-{service}"
        assert read.kafka.security_protocol == "SASL_SSL"
        mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
        assert read.vault.keyring.parent in mounts
        assert read.kafka.ca_file is not None
        assert read.kafka.ca_file.parent in mounts
        assert read.work.downstreams.parent in mounts or service not in FULFILLING


def test_every_secret_that_a_manifest_names_is_in_the_operators_list(objects: list[Object]) -> None:
    said = "\n".join(TEXTS.values())
    for service in ServiceName:
        said += f" `dsr-{service}-postgres` `dsr-{service}` "
    said += "`dsr-tls` `dsr-autoscaler` "  # made by cert-manager and by Strimzi
    names = {name for each in objects for name in secret_names(each)}
    assert {name for name in names if f"`{name}`" not in said} == set()


def test_the_most_instances_fit_into_the_databases_connections(production: list[Object]) -> None:
    most = sum(scaled["spec"]["maxReplicaCount"] for scaled in of(production, "ScaledObject"))
    allowed = one(production, "Cluster", "dsr-postgres")["spec"]["postgresql"]["parameters"]["max_connections"]
    pooler = one(production, "Pooler", "dsr-postgres-pooler")["spec"]
    pooled = pooler["instances"] * int(pooler["pgbouncer"]["parameters"]["default_pool_size"])
    migration = 1
    assert most * int(settings_of(production)["DSR_POSTGRES_POOL_SIZE"]) + pooled + migration < int(allowed)


KEYED = {
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "protocol"),
    "initContainers": ("name",),
    "containers": ("name",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}
"""Lists that a server-side apply merges by these keys, and refuses where two entries have the same."""


def test_no_list_has_two_entries_that_a_server_side_apply_would_take_for_one(objects: list[Object]) -> None:
    for each in [*of(objects, "Deployment"), *of(objects, "Job")]:
        pod = each["spec"]["template"]["spec"]
        for node in (pod, *pod.get("initContainers", []), *pod["containers"]):
            for field, by in KEYED.items():
                found = [tuple(entry.get(key) for key in by) for entry in node.get(field, [])]
                assert len(set(found)) == len(found), f"{named(each)}: {field}"
    for service in of(objects, "Service"):
        found = [(port["port"], port.get("protocol", "TCP")) for port in service["spec"]["ports"]]
        assert len(set(found)) == len(found), named(service)


# The manifests: rendered, and valid to the letter.
def test_every_object_is_valid_to_the_letter(objects: list[Object], schemas: Schemas) -> None:
    assert list(faults(objects, schemas)) == []


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Deployment", "spec.template.spec.containers.0.securityContext"),
        ("ScaledObject", "spec"),
        ("Kafka", "spec.kafka"),
        ("PrometheusRule", "spec.groups.0.rules.0"),
    ],
    ids=["Kubernetes", "Go modules", "Strimzi's jars", "cloudcoil"],
)
def test_a_misspelt_field_is_found_by_the_schemas_of_each_source(
    production: list[Object], schemas: Schemas, kind: str, place: str
) -> None:
    misspelt = copy.deepcopy(of(production, kind)[0])
    node: Any = misspelt
    for step in place.split("."):
        node = node[int(step) if step.isdigit() else step]
    node["runAsNonRoott"] = True
    assert any("runAsNonRoott" in fault for fault in faults([misspelt], schemas))


def test_every_trigger_uses_only_keys_that_its_scaler_reads(production: list[Object], schemas: Schemas) -> None:
    triggers = [trigger for scaled in of(production, "ScaledObject") for trigger in scaled["spec"]["triggers"]]
    assert {trigger["type"] for trigger in triggers} == {"kafka", "postgresql"}
    for trigger in triggers:
        assert set(trigger["metadata"]) <= set(schemas.trigger_keys[trigger["type"]]), trigger["name"]


# Every exception of the policy check has a reason and is still needed.
EXCEPTIONS = yaml.safe_load(CHECKOV.read_text())["skip-check"]


def test_without_the_exceptions_these_checks_and_no_others_fail(tmp_path: Path) -> None:
    said = checkov(rendered(tmp_path), "--framework", "kubernetes", "--skip-download", "--output", "json")
    failed = json.loads(said.stdout)["results"]["failed_checks"]
    assert {each["check_id"] for each in failed} == set(EXCEPTIONS)


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_has_its_reason_above_it(check: str) -> None:
    reason = re.search(rf"((?:^  # .+\n)+)  - {check}$", CHECKOV.read_text(), re.MULTILINE)
    assert reason
    assert len(reason[1]) > 80


# What the cluster's Prometheus and Grafana are given is what the repository says of alerts and dashboards.
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


# The alert rules under promtool: each fires when it should, and not when it should not.
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
