"""What of the manifests is generated is what the code says; tests/deploy checks them as a cluster would."""

import importlib
from typing import Any

import yaml

from deploy.k8s.generate.__main__ import K8S, documents
from deploy.k8s.generate.topics import PARTITIONS
from services.intake.mail.__main__ import MEMORY
from services.intake.mail.settings import ImapSettings
from services.intake.settings import IntakeSettings
from shared.app.service import Service
from shared.domain import topics
from shared.domain.emitters import read_emitters
from shared.domain.topics import TOPIC_ACCESS, ServiceName


def generated(path: str) -> dict[str, Any]:
    """The specifications of a generated file by the names of their objects."""
    return {each["metadata"]["name"]: each["spec"] for each in yaml.safe_load_all(documents()[path])}


def test_the_generated_manifests_are_what_the_code_says() -> None:
    for path, content in documents().items():
        assert (K8S / path).read_text() == content, f"{path}: the code has changed: run `make k8s`"


def test_intake_has_memory_for_the_longest_mail_and_its_parser() -> None:
    deployment = yaml.safe_load((K8S / "base/mail.yaml").read_text())
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Mi")) * 2**20
    longest, bodies = ImapSettings.model_fields["message_bytes"], IntakeSettings.model_fields["held_bytes"]
    [bound] = [each.le for each in longest.metadata if hasattr(each, "le")]
    assert limit >= 117 * 2**20 + bodies.default + 8 * bound + MEMORY


def test_every_service_is_scaled_by_what_it_hears_and_by_its_tasks_and_deadlines() -> None:
    objects = generated("components/autoscaling/scaledobjects.yaml")
    for service in ServiceName:
        scaled = objects[f"dsr-{service}"]
        heard = {t["metadata"]["topic"] for t in scaled["triggers"] if t["type"] == "kafka"}
        assert heard == {topic.value for topic, access in TOPIC_ACCESS.items() if service in access.readers}
        counted = {t["name"] for t in scaled["triggers"] if t["type"] == "postgresql"}
        assert counted == (set() if service is ServiceName.INTAKE else {"backlog", "earliest-deadline"})
        assert scaled["scaleTargetRef"]["name"] == f"dsr-{service}"
        assert scaled["maxReplicaCount"] <= PARTITIONS


def test_a_service_declares_what_its_user_may_hear_and_say() -> None:
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
        told = read_emitters() if name is ServiceName.INTAKE else ()
        foreign = {f(emitter) for emitter in told for f in (topics.user_events, topics.user_events_group)}
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
