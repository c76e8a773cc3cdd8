"""The topics of the bus, and its users with exactly the rights that the code declares."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.local.paths import ROOT
from shared.domain import topics as names
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.messaging import admin

DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
PARTITIONS = 12
REPLICAS = 3
SCALER = "dsr-autoscaler"
"""The scaler's user at the broker."""


@dataclass(frozen=True, slots=True)
class Acl:
    """One right of a user at the broker: operations on one topic or group of that very name."""

    kind: str
    name: str
    operations: tuple[str, ...]


def bus_systems() -> list[str]:
    """The systems in use that are reached over the bus."""
    tables = tomllib.loads(DOWNSTREAMS.read_text())
    return [name for name, table in tables.items() if table["adapter"] == "bus" and table.get("enabled", True)]


def users(systems: Sequence[str] | None = None) -> dict[str, list[Acl]]:
    """Every user of the broker and what it may do there; what is not named is refused."""
    systems = bus_systems() if systems is None else systems
    ours = {f"dsr-{service}": list(_rights(service, systems)) for service in ServiceName}
    ours[SCALER] = [Acl("topic", topic, ("Describe",)) for topic in TOPIC_ACCESS]
    ours[SCALER] += [Acl("group", service, ("Describe",)) for service in ServiceName]
    for system in systems:
        team = f"team-{system}"
        ours[f"dsr-{team}"] = [*_reads(names.tasks(system), team), _writes(names.replies(system))]
    return ours


def topics() -> Iterator[Mapping[str, Any]]:
    """Every topic as an object of Strimzi's."""
    for name in admin.declared(bus_systems()):
        config = {**admin.config(name), "min.insync.replicas": 2}
        yield _object("KafkaTopic", name, {"partitions": PARTITIONS, "replicas": REPLICAS, "config": config})


def kafka_users() -> Iterator[Mapping[str, Any]]:
    """Every user as an object of Strimzi's."""
    for name, acls in users().items():
        rights = [
            {"resource": {"type": acl.kind, "name": acl.name, "patternType": "literal"}, "operations": acl.operations}
            for acl in dict.fromkeys(acls)
        ]
        authorization = {"type": "simple", "acls": rights}
        yield _object("KafkaUser", name, {"authentication": {"type": "scram-sha-512"}, "authorization": authorization})


def _rights(service: ServiceName, systems: Sequence[str]) -> Iterator[Acl]:
    for topic, access in TOPIC_ACCESS.items():
        if service in access.writers:
            yield _writes(topic)
        if service in access.readers:
            yield from _reads(topic, service)
    yield _writes(names.dead_letters(service))
    if service is ServiceName.ERASURE:
        for system in systems:
            yield _writes(names.tasks(system))
            yield from _reads(names.replies(system), f"{service}-replies")


def _writes(topic: str) -> Acl:
    return Acl("topic", topic, ("Write", "Describe"))


def _reads(topic: str, group: str) -> list[Acl]:
    return [Acl("topic", topic, ("Read", "Describe")), Acl("group", group, ("Read",))]


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": "dsr-kafka"}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
