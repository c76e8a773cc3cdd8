"""How many instances of each service there are: by the lag on what it reads, its backlog, and the nearest deadlines."""

from collections.abc import Mapping
from typing import Any

from deploy.k8s.generate.topics import PARTITIONS
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.storage.grants import AUTOSCALER, FULFILLING

BOUNDS = {ServiceName.INTAKE: (2, 6), ServiceName.DEADLINE: (2, 3), ServiceName.CORRESPONDENCE: (2, 4)}
"""Fewest and most instances, where they are not (2, 12): a group has no use for more members than partitions."""
LAG, BACKLOG, NEAR = 2_000, 3_000, 100
"""What one instance is to cope with: records that wait, tasks that wait, and tasks that wait with two days left."""


def scaled_object(service: ServiceName) -> Mapping[str, Any]:
    """A service's scaling as an object of KEDA's."""
    read = [topic for topic, access in TOPIC_ACCESS.items() if service in access.readers]
    triggers = [_lag(service, topic) for topic in read]
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
