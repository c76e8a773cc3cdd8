"""The manifests: rendered, valid to the letter, and true to the code that they run."""

import copy
import importlib
from typing import Any

import pytest

from deploy import k8s_documents
from deploy.k8s_documents import K8S
from deploy.k8s_render import Object, faults
from deploy.k8s_schemas import Tools
from shared.app.service import Service
from shared.domain import topics
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from tests.fixtures.manifests import of, one


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
        ("PrometheusRule", "spec.groups.0.rules.0"),
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
        assert heard == {topic.value for topic, street in TOPIC_ACCESS.items() if service in street.readers}
        counted = {t["name"] for t in scaled["triggers"] if t["type"] == "postgresql"}
        assert counted == (set() if service is ServiceName.INTAKE else {"backlog", "earliest-deadline"})
        assert scaled["scaleTargetRef"]["name"] == f"dsr-{service}"
        assert scaled["maxReplicaCount"] <= k8s_documents.PARTITIONS


def test_a_service_declares_what_its_user_may_hear_and_say(production: list[Object]) -> None:
    for name in ServiceName:
        main = importlib.import_module(f"services.{name}.__main__")
        getattr(main, "configure", lambda: None)()
        service: Service = main.service
        acls = one(production, "KafkaUser", f"dsr-{name}")["spec"]["authorization"]["acls"]
        allowed = {
            operation: {a["resource"]["name"] for a in acls if operation in a["operations"]}
            for operation in ("Read", "Write")
        }
        subscribed = {each.event.topic for several in service.subscriptions.values() for each in several}
        writes = {topic for topic, access in TOPIC_ACCESS.items() if name in access.writers}
        assert allowed["Read"] == {*subscribed, name} == {*topics.read_by(name), name}
        assert allowed["Write"] == {*writes, topics.dead_letters(name)}


def test_no_access_rule_has_a_wildcard_and_every_topic_named_is_declared(production: list[Object]) -> None:
    declared = {each["metadata"]["name"] for each in of(production, "KafkaTopic")}
    for user in of(production, "KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            assert acl["resource"]["patternType"] == "literal"
            assert "*" not in acl["resource"]["name"]
            assert not {"All", "ClusterAction"} & set(acl["operations"])
            assert acl["resource"]["type"] == "group" or acl["resource"]["name"] in declared
