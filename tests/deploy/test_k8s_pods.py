"""Pods: nothing in them that should not be, all that they need, and an orderly end."""

import re
from pathlib import Path

import pytest

from deploy.k8s.check import Object, named
from deploy.local.paths import ROOT
from shared.domain.topics import ServiceName
from shared.runtime.settings import Settings
from tests.fixtures.manifests import of, one, secret_names, settings_of, values

CLOSING_SECONDS = 10
"""What closing the connections to the servers can take."""


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
        assert read.work.downstreams.parent in mounts or service is ServiceName.INTAKE


def test_every_secret_that_a_manifest_names_is_in_the_operators_list(objects: list[Object]) -> None:
    said = (ROOT / "docs" / "operations.md").read_text()
    for service in ServiceName:
        said += f" `dsr-{service}-postgres` `dsr-{service}` "
    said += "`dsr-tls` `dsr-autoscaler` "  # made by cert-manager and by Strimzi
    names = {name for each in objects for name in secret_names(each)}
    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in said} == set()


def test_the_most_instances_fit_into_the_databases_connections(production: list[Object]) -> None:
    most = sum(scaled["spec"]["maxReplicaCount"] for scaled in of(production, "ScaledObject"))
    allowed = one(production, "Cluster", "dsr-postgres")["spec"]["postgresql"]["parameters"]["max_connections"]
    assert most * int(settings_of(production)["DSR_POSTGRES_POOL_SIZE"]) < int(allowed)


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
