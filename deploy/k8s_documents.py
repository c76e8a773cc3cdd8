"""Writes the parts of deploy/k8s that could drift from the code: topics, users and their rights, settings, scaling."""

import importlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy import k8s_observability, k8s_yaml
from deploy.local.paths import ROOT
from shared.domain import topics
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.messaging import admin
from shared.storage.grants import AUTOSCALER, FULFILLING

K8S = ROOT / "deploy" / "k8s"
DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
CLUSTER = {"strimzi.io/cluster": "dsr-kafka"}
PARTITIONS = 12
REPLICAS = 3
SCALER = "dsr-autoscaler"
"""The scaler's user at the broker."""
BOUNDS = {ServiceName.INTAKE: (2, 6), ServiceName.DEADLINE: (2, 3)}
"""Fewest and most instances, where they are not (2, 12): a group has no use for more members than partitions."""
LAG, BACKLOG, NEAR = 2_000, 3_000, 100
"""What one instance is to cope with: records that wait, tasks that wait, and tasks that wait with two days left."""

ELSEWHERE = {
    "DSR_POSTGRES_DSN": "the component or overlay that brings the database",
    "DSR_KAFKA_BOOTSTRAP": "the component or overlay that brings the broker",
    "DSR_KAFKA_USERNAME": "each service's own",
    "DSR_KAFKA_PASSWORD": "each service's own secret",
    "DSR_TELEMETRY_OTLP_ENDPOINT": "the component that brings the collector",
}
IN_A_CLUSTER = {
    "DSR_HTTP_HOST": "0.0.0.0",  # noqa: S104  # inside its pod
    "DSR_HTTP_PORT": "8080",
    "DSR_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
    "DSR_KAFKA_CA_FILE": "/etc/dsr/kafka-ca/ca.crt",
    "DSR_VAULT_KEYRING": "/etc/dsr/keyring/keyring.json",
    "DSR_WORK_DOWNSTREAMS": "/etc/dsr/downstreams/downstreams.toml",
}


@dataclass(frozen=True, slots=True)
class Acl:
    """One right of a user at the broker: operations on one topic or group of that very name."""

    kind: str
    name: str
    operations: tuple[str, ...]


def documents() -> dict[Path, str]:
    """Every generated file by its path below deploy/k8s."""
    return {
        Path("base/settings.env"): settings(),
        Path("base/downstreams.toml"): DOWNSTREAMS.read_text(),
        Path("components/kafka/topics.yaml"): _yaml(map(_topic, declared())),
        Path("components/kafka/users.yaml"): _yaml(_user(name, acls) for name, acls in users().items()),
        Path("components/autoscaling/scaledobjects.yaml"): _yaml(map(_scaled, ServiceName)),
        **k8s_observability.documents(),
    }


def bus_systems() -> list[str]:
    """The systems in use that are reached over the bus."""
    tables = tomllib.loads(DOWNSTREAMS.read_text())
    return [name for name, table in tables.items() if table["adapter"] == "bus" and table.get("enabled", True)]


def declared(systems: Sequence[str] | None = None) -> list[str]:
    """Every topic of the platform; ``systems`` are those on the bus, by default the ones in use."""
    return admin.declared(bus_systems() if systems is None else systems)


def users(systems: Sequence[str] | None = None) -> dict[str, list[Acl]]:
    """Every user of the broker and what it may do there; what is not named is refused."""
    systems = bus_systems() if systems is None else systems
    ours = {f"dsr-{service}": list(_rights(service, systems)) for service in ServiceName}
    ours[SCALER] = list(_rights_of_the_scaler())
    for system in systems:
        ours[f"dsr-team-{system}"] = [
            *_reads(topics.tasks(system), f"team-{system}"),
            _writes(topics.replies(system)),
        ]
    return ours


def variables() -> Iterator[tuple[str, Any]]:
    """Every variable that a settings class reads, with its default."""
    for path in [
        ROOT / "shared" / "storage" / "postgres.py",
        ROOT / "shared" / "runtime" / "settings.py",
        *sorted(ROOT.glob("services/*/settings.py")),
    ]:
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for group in vars(module).values():
            if isinstance(group, type) and issubclass(group, BaseSettings) and group.__module__ == module.__name__:
                for name, field in group.model_fields.items():
                    yield f"{group.model_config['env_prefix']}{name.upper()}", field.default


def settings() -> str:
    """The variables of every service; the image's own files and what another place says are left out."""
    lines = ["# Generated from the settings classes by `make k8s`; change it there, or in an overlay."]
    for name, default in variables():
        if name in ELSEWHERE or (isinstance(default, Path | SecretStr) and name not in IN_A_CLUSTER):
            continue
        value = IN_A_CLUSTER.get(name, default)
        if value is PydanticUndefined:
            message = f"{name} has no default: say in deploy/k8s_documents.py what it is in a cluster, or who says it"
            raise LookupError(message)
        if value is not None:
            lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def _rights(service: ServiceName, systems: Sequence[str]) -> Iterator[Acl]:
    for topic, street in TOPIC_ACCESS.items():
        if service in street.writers:
            yield _writes(topic)
        if service in street.readers:
            yield from _reads(topic, service)
    yield _writes(topics.dead_letters(service))
    if service is ServiceName.ERASURE:
        for system in systems:
            yield _writes(topics.tasks(system))
            yield from _reads(topics.replies(system), f"{service}-replies")


def _rights_of_the_scaler() -> Iterator[Acl]:
    for topic in TOPIC_ACCESS:
        yield Acl("topic", topic, ("Describe",))
    for service in ServiceName:
        yield Acl("group", service, ("Describe",))


def _writes(topic: str) -> Acl:
    return Acl("topic", topic, ("Write", "Describe"))


def _reads(topic: str, group: str) -> list[Acl]:
    return [Acl("topic", topic, ("Read", "Describe")), Acl("group", group, ("Read",))]


def _topic(name: str) -> Mapping[str, Any]:
    config = {"retention.ms": topics.RETENTION_MS, "min.insync.replicas": 2}
    spec = {"partitions": PARTITIONS, "replicas": REPLICAS, "config": config}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": _named(name), "spec": spec}


def _user(name: str, acls: Iterable[Acl]) -> Mapping[str, Any]:
    rights = [
        {
            "resource": {"type": acl.kind, "name": str(acl.name), "patternType": "literal"},
            "operations": list(acl.operations),
        }
        for acl in dict.fromkeys(acls)
    ]
    spec = {"authentication": {"type": "scram-sha-512"}, "authorization": {"type": "simple", "acls": rights}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaUser", "metadata": _named(name), "spec": spec}


def _named(name: str) -> Mapping[str, Any]:
    return {"name": str(name), "labels": dict(CLUSTER)}


def _scaled(service: ServiceName) -> Mapping[str, Any]:
    heard = [topic for topic, street in TOPIC_ACCESS.items() if service in street.readers]
    triggers = [_lag(service, topic) for topic in heard]
    if service in FULFILLING:
        waiting = f"SELECT count(*) FROM {service}.task WHERE state = 'ready'"  # noqa: S608  # put together from names of ours
        triggers += [
            _count("backlog", waiting, BACKLOG),
            _count("earliest-deadline", f"{waiting} AND due_on <= current_date + 2", NEAR),
        ]
    fewest, most = BOUNDS.get(service, (2, PARTITIONS))
    spec = {
        "scaleTargetRef": {"name": f"dsr-{service}"},
        "minReplicaCount": fewest,
        "maxReplicaCount": most,
        "pollingInterval": 15,
        # slowly down: every change of a group's members stops all of them for a moment
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 600}}}},
        "fallback": {"failureThreshold": 4, "replicas": fewest},
        "triggers": triggers,
    }
    named = {"name": f"dsr-{service}"}
    return {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": named, "spec": spec}


def _lag(service: ServiceName, topic: str) -> Mapping[str, Any]:
    metadata = {
        "bootstrapServers": "dsr-kafka-kafka-bootstrap.dsr.svc:9093",
        "consumerGroup": service.value,
        "topic": str(topic),
        "lagThreshold": str(LAG),
        "offsetResetPolicy": "earliest",
        "sasl": "scram_sha512",
        "tls": "enable",
    }
    name = f"lag-{topic.replace('.', '-')}"
    return {"type": "kafka", "name": name, "metadata": metadata, "authenticationRef": {"name": "dsr-kafka"}}


def _count(name: str, query: str, target: int) -> Mapping[str, Any]:
    metadata = {
        "host": "dsr-postgres-pooler.dsr.svc",
        "port": "5432",
        "dbName": "dsr",
        "userName": AUTOSCALER,
        "sslmode": "require",
        "query": query,
        "targetQueryValue": str(target),
    }
    return {"type": "postgresql", "name": name, "metadata": metadata, "authenticationRef": {"name": "dsr-postgres"}}


def _yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    return k8s_yaml.text(objects, "deploy/k8s_documents.py")


def main() -> None:
    """Writes all of them."""
    for path, content in documents().items():
        (K8S / path).write_text(content)
        typer.echo(f"wrote deploy/k8s/{path}")


if __name__ == "__main__":
    main()
