"""The manifests: rendered, valid to the letter, true to the code, and with nothing in them that should not be."""

import copy
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from deploy import k8s_documents
from deploy.k8s_documents import K8S
from deploy.k8s_render import OVERLAYS, Object, faults, named, render
from deploy.k8s_schemas import Tools, prepare
from deploy.local.paths import ROOT
from shared.bus import topics
from shared.bus.topics import STREETS, ServiceName
from shared.service import Service
from shared.settings import Settings

CLOSING_SECONDS = 10
"""What closing the connections to the servers can take."""


@pytest.fixture(scope="module")
def tools() -> Tools:
    return prepare()


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request: pytest.FixtureRequest, tools: Tools) -> list[Object]:
    return render(request.param, tools)


@pytest.fixture(scope="module")
def production(tools: Tools) -> list[Object]:
    return render("production", tools)


def of(objects: list[Object], kind: str) -> list[Object]:
    return [each for each in objects if each["kind"] == kind]


def one(objects: list[Object], kind: str, name: str) -> Any:
    return next(each for each in of(objects, kind) if each["metadata"]["name"] == name)


def pods(objects: list[Object]) -> Iterator[tuple[str, Any]]:
    for each in objects:
        if each["kind"] in ("Deployment", "Job"):
            yield named(each), each["spec"]["template"]


def containers(pod: Any) -> list[Any]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def values(node: object, key: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from values(value, str(name))
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)
    else:
        yield key, node


def test_the_generated_manifests_are_what_the_code_says() -> None:
    for path, content in k8s_documents.documents().items():
        assert (K8S / path).read_text() == content, f"{path}: the code has changed: run `make k8s`"


def test_every_object_is_valid_to_the_letter(objects: list[Object], tools: Tools) -> None:
    assert list(faults(objects, tools)) == []


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("Deployment", "spec.template.spec.containers.0.securityContext"),
        ("NetworkPolicy", "spec"),
        ("Kafka", "spec.kafka"),
        ("KafkaUser", "spec.authorization"),
        ("Cluster", "spec.postgresql"),
        ("ScaledObject", "spec"),
        ("PodMonitor", "spec"),
    ],
)
def test_a_misspelt_field_is_found(production: list[Object], tools: Tools, kind: str, place: str) -> None:
    misspelt = copy.deepcopy(of(production, kind)[0])
    node: Any = misspelt
    for step in place.split("."):
        node = node[int(step) if step.isdigit() else step]
    node["runAsNonRoott"] = True
    assert any("runAsNonRoott" in fault for fault in faults([misspelt], tools))


def test_every_trigger_uses_only_keys_that_its_scaler_reads(production: list[Object], tools: Tools) -> None:
    triggers = [trigger for scaled in of(production, "ScaledObject") for trigger in scaled["spec"]["triggers"]]
    assert {trigger["type"] for trigger in triggers} == {"kafka", "postgresql"}
    for trigger in triggers:
        assert set(trigger["metadata"]) <= set(tools.trigger_keys[trigger["type"]]), trigger["name"]


def test_every_service_is_scaled_by_what_it_hears_and_by_its_tasks_and_deadlines(production: list[Object]) -> None:
    for service in ServiceName:
        scaled = one(production, "ScaledObject", f"dsr-{service}")["spec"]
        heard = {t["metadata"]["topic"] for t in scaled["triggers"] if t["type"] == "kafka"}
        assert heard == {topic.value for topic, street in STREETS.items() if service in street.readers}
        counted = {t["name"] for t in scaled["triggers"] if t["type"] == "postgresql"}
        assert counted == (set() if service is ServiceName.INTAKE else {"backlog", "earliest-deadline"})
        assert scaled["scaleTargetRef"]["name"] == f"dsr-{service}"
        assert scaled["maxReplicaCount"] <= k8s_documents.PARTITIONS


def test_a_service_declares_what_its_user_may_hear_and_say(production: list[Object]) -> None:
    for name in ServiceName:
        service: Service = importlib.import_module(f"services.{name}.__main__").service
        acls = one(production, "KafkaUser", f"dsr-{name}")["spec"]["authorization"]["acls"]
        allowed = {
            operation: {a["resource"]["name"] for a in acls if operation in a["operations"]}
            for operation in ("Read", "Write")
        }
        assert allowed["Read"] == {*service.reads, name}
        assert allowed["Write"] == {service.writes, topics.dead_letters(name)}


def test_no_access_rule_has_a_wildcard_and_every_topic_named_is_declared(production: list[Object]) -> None:
    declared = {each["metadata"]["name"] for each in of(production, "KafkaTopic")}
    for user in of(production, "KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            assert acl["resource"]["patternType"] == "literal"
            assert "*" not in acl["resource"]["name"]
            assert not {"All", "ClusterAction"} & set(acl["operations"])
            assert acl["resource"]["type"] == "group" or acl["resource"]["name"] in declared


def test_every_pod_meets_the_restricted_standard(objects: list[Object]) -> None:
    found = list(pods(objects))
    assert len(found) >= 6
    for name, pod in found:
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        assert {kind for volume in spec["volumes"] for kind in volume} <= {"name", "secret", "configMap", "emptyDir"}
        for container in containers(pod):
            context = container["securityContext"]
            assert context["runAsUser"] >= 10_000, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
            assert {"requests", "limits"} <= set(container["resources"]), name
    (namespace,) = of(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_no_secret_stands_in_a_manifest_and_every_image_has_a_version(objects: list[Object]) -> None:
    assert of(objects, "Secret") == []
    for key, value in values(objects):
        assert key not in {"hostPath", "privileged"}
        if key in ("image", "imageName"):
            assert re.search(r":\d+\.\d+", str(value)), value
        if re.search(r"(?i)password|secret_?key", key):
            assert value in (None, "restricted") or str(value).startswith("dsr-"), key
        assert not re.search(r"://[^/@\s]+:[^/@\s]+@", str(value)), key


def test_every_service_can_be_rolled_and_drained_without_a_gap(objects: list[Object]) -> None:
    (said,) = [each["data"] for each in of(objects, "ConfigMap") if "DSR_HTTP_PORT" in each["data"]]
    steps = ("DSR_HTTP_LINGER_SECONDS", "DSR_PROCESS_DRAIN_SECONDS", "DSR_PROCESS_OUTBOX_SECONDS")
    longest = sum(float(said[step]) for step in steps) + CLOSING_SECONDS
    assert float(said["DSR_HTTP_LINGER_SECONDS"]) >= 5  # what endpoints and load balancers need to hear of it
    for service in ServiceName:
        deployment = one(objects, "Deployment", f"dsr-{service}")
        spec, pod = deployment["spec"], deployment["spec"]["template"]
        assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        assert pod["spec"]["terminationGracePeriodSeconds"] > longest
        (container,) = pod["spec"]["containers"]
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
    (settings,) = [each for each in of(objects, "ConfigMap") if "DSR_HTTP_PORT" in each["data"]]
    servers = {"DSR_POSTGRES_DSN": "postgresql://database/dsr", "DSR_KAFKA_BOOTSTRAP": "broker:9093"}
    for service in ServiceName:
        (container,) = one(objects, "Deployment", f"dsr-{service}")["spec"]["template"]["spec"]["containers"]
        secrets = {source["secretRef"]["name"] for source in container["envFrom"] if "secretRef" in source}
        with monkeypatch.context() as environment:
            for name, value in settings["data"].items():
                environment.setenv(name, value)
            for name, value in servers.items() if "dsr-servers" in secrets else ():
                environment.setenv(name, value)
            for each in container["env"]:
                environment.setenv(each["name"], each.get("value", "from a secret"))
            read = Settings()
        assert read.http.port == container["ports"][0]["containerPort"]
        assert read.kafka.username == f"dsr-{service}"
        assert read.kafka.security_protocol == "SASL_SSL"
        mounts = {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
        assert read.vault.keyring.parent in mounts
        assert read.kafka.ca_file is not None
        assert read.kafka.ca_file.parent in mounts
        assert read.work.downstreams.parent in mounts or service is ServiceName.INTAKE


def test_nobody_reaches_anybody_except_as_said(objects: list[Object]) -> None:
    policies = of(objects, "NetworkPolicy")
    deny = one(objects, "NetworkPolicy", "default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            assert rule.get("from"), f"{named(policy)} lets everybody in"
        for rule in policy["spec"].get("egress", []):
            assert rule.get("ports") or rule.get("to"), f"{named(policy)} lets everything out"
    role = {"data-subject-requests/role": "service"}
    assert one(objects, "NetworkPolicy", "services")["spec"]["podSelector"] == {"matchLabels": role}
    for service in ServiceName:
        labels = one(objects, "Deployment", f"dsr-{service}")["spec"]["template"]["metadata"]["labels"]
        assert role.items() <= labels.items()


def test_no_peer_of_a_network_policy_was_given_the_label_of_the_policys_own_service(objects: list[Object]) -> None:
    for policy in of(objects, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            for peer in rule.get("to", []):
                labels = peer.get("podSelector", {}).get("matchLabels", {})
                assert len(labels) <= 1, named(policy)


def test_every_secret_that_a_manifest_names_is_in_the_operators_list(objects: list[Object]) -> None:
    said = (ROOT / "docs" / "operations.md").read_text()
    for service in ServiceName:
        said += f" `dsr-{service}-postgres` `dsr-{service}` "
    said += "`dsr-tls` `dsr-autoscaler` "  # made by cert-manager and by Strimzi
    named_secrets = {str(node["name"]) for each in objects for node in references(each)}
    assert len(named_secrets) > 10
    assert {name for name in named_secrets if f"`{name}`" not in said} == set()


def test_the_most_instances_fit_into_the_databases_connections(production: list[Object]) -> None:
    most = sum(scaled["spec"]["maxReplicaCount"] for scaled in of(production, "ScaledObject"))
    (settings,) = [each["data"] for each in of(production, "ConfigMap") if "DSR_HTTP_PORT" in each["data"]]
    allowed = one(production, "Cluster", "dsr-postgres")["spec"]["postgresql"]["parameters"]["max_connections"]
    assert most * int(settings["DSR_POSTGRES_POOL_SIZE"]) < int(allowed)


def references(node: object) -> Iterator[Mapping[str, object]]:
    """Every place in an object that names a secret, as a mapping with its name."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in ("secretRef", "secretKeyRef", "passwordSecret", "accessKeyId", "secretAccessKey"):
                yield value
            elif key == "secretTargetRef":
                yield from value
            elif key == "secretName":
                yield {"name": value}
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
