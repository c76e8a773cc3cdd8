"""The topics of the bus, and its users with exactly the rights that the code declares."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

from deploy.local.paths import ROOT
from shared.domain import topics as names
from shared.domain.emitters import read_emitters
from shared.domain.operations import Operation
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.messaging import admin, rights
from shared.messaging.rights import Acl, Teams
from shared.systems.bus.settings import BusSettings
from shared.systems.file import read

DOWNSTREAMS = ROOT / "shared" / "policy" / "downstreams.toml"
PARTITIONS = 12
REPLICAS = 3
STATUS_READER = "dsr-status-reader"
"""The user of whoever shows people where their request stands; its group bears the same name."""
SCALER = "dsr-autoscaler"
"""The scaler's user at the broker."""


def teams() -> dict[str, frozenset[Operation]]:
    """The systems in use that are reached over the bus, each with what its team does."""
    declared = {each.name: each.settings for each in read(DOWNSTREAMS, os.environ, "bus") if each.enabled}
    return {name: settings.worked for name, settings in declared.items() if isinstance(settings, BusSettings)}


def users(asked: Teams | None = None) -> dict[str, list[Acl]]:
    """Every user of the broker and what it may do there; what is not named is refused."""
    asked = teams() if asked is None else asked
    ours = {rights.user_of(service): list(rights.of_service(service, asked)) for service in ServiceName}
    ours[SCALER] = [Acl("topic", topic, ("Describe",)) for topic in TOPIC_ACCESS]
    ours[SCALER] += [Acl("group", service, ("Describe",)) for service in ServiceName]
    ours |= {rights.emitter_user(emitter): [rights.writes(names.user_events(emitter))] for emitter in read_emitters()}
    ours[STATUS_READER] = rights.reads(names.STATUS, STATUS_READER)
    return ours | {rights.team_user(system): list(rights.of_team(system)) for system in asked}


def topics() -> Iterator[Mapping[str, Any]]:
    """Every topic as an object of Strimzi's."""
    for name in admin.declared(list(teams())):
        config = {**admin.config(name), "min.insync.replicas": 2}
        partitions = names.partitions_of(name, PARTITIONS)
        yield _object("KafkaTopic", name, {"partitions": partitions, "replicas": REPLICAS, "config": config})


def kafka_users() -> Iterator[Mapping[str, Any]]:
    """Every user as an object of Strimzi's."""
    for name, acls in users().items():
        rights = [
            {"resource": {"type": acl.kind, "name": acl.name, "patternType": "literal"}, "operations": acl.operations}
            for acl in dict.fromkeys(acls)
        ]
        authorization = {"type": "simple", "acls": rights}
        yield _object("KafkaUser", name, {"authentication": {"type": "scram-sha-512"}, "authorization": authorization})


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = {"name": name, "labels": {"strimzi.io/cluster": "dsr-kafka"}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
