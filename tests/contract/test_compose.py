"""compose.yaml is valid by the Compose specification and has in it what the code says a service needs."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.compose import prepare
from deploy.k8s.generate.__main__ import K8S, documents
from deploy.k8s.generate.topics import PARTITIONS
from deploy.local import postgres_databases as databases
from deploy.local.paths import ROOT
from deploy.up import sample
from services.intake.console.settings import ConsoleSettings
from services.intake.mail.__main__ import MEMORY
from services.intake.mail.settings import ImapSettings
from services.intake.settings import IntakeSettings
from shared.app.service import Service
from shared.domain import topics
from shared.domain.emitters import read_emitters
from shared.domain.topics import TOPIC_ACCESS, ServiceName
from shared.downstreams.file import read
from shared.storage import grants
from tests.fixtures.observation import DASHBOARDS, GRAFANA

COMPOSE = ROOT / "compose.yaml"
COMPOSED = yaml.safe_load(COMPOSE.read_text())
SERVICES: dict[str, Any] = COMPOSED["services"]


def test_the_compose_file_is_valid_by_the_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_it_runs_every_service_and_publishes_on_this_machine_alone() -> None:
    for name in ServiceName:
        service = SERVICES[name.value]
        assert service["command"] == [name.value]
        assert service["read_only"] is True
        assert service["environment"].keys() >= {"DSR_POSTGRES_DSN", "DSR_KAFKA_BOOTSTRAP", "DSR_VAULT_KEYRING"}
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_everything_that_it_mounts_is_there_and_what_comes_from_here_is_mounted_to_be_read_alone() -> None:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    mounted = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":") for volume in volumes]
    here = [parts for parts in mounted if parts[0].startswith(".")]
    assert len(here) >= 4
    for source, _target, *mode in here:
        assert (ROOT / source).exists(), source
        assert mode == ["ro"], source
    assert {parts[0] for parts in mounted if parts not in here} == set(COMPOSED["volumes"])


def test_prometheus_asks_every_service_by_its_name_with_the_token_that_it_was_given() -> None:
    (job,) = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for each in job["static_configs"] for target in each["targets"]}
    assert targets == {f"{name}:8080" for name in ServiceName}
    assert {each["labels"]["instance"] for each in job["static_configs"]} == set(ServiceName)
    assert job["authorization"]["credentials_file"] == "/tokens/metrics"
    assert {"tokens:/tokens:ro", "./deploy/prometheus/rules:/etc/prometheus/rules:ro"} <= {
        *SERVICES["prometheus"]["volumes"]
    }
    assert all("inside" in SERVICES[name]["networks"] for name in ("prometheus", *ServiceName))


@pytest.mark.parametrize("name", ["deadline", "intake"])
def test_a_service_takes_its_token_from_a_file_and_its_name_from_the_command(tmp_path: Path, name: str) -> None:
    """As the container would run it, with a command that says how it was called."""
    (tmp_path / "metrics").write_text("a token")
    fake = tmp_path / "dsr"
    fake.write_text('#!/bin/sh\necho "$DSR_TELEMETRY_PRIVACY_TOKEN|$*"\n')
    fake.chmod(0o755)
    service = SERVICES[name]
    entrypoint = [word.replace("$$", "$") for word in service["entrypoint"]]
    entrypoint = [re.sub("/(tokens|secrets)", str(tmp_path), word) for word in entrypoint]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [*entrypoint, *service["command"]], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"a token|run {name}"


def test_it_starts_without_variables_and_declares_the_sample_shop() -> None:
    for service in SERVICES.values():
        words = re.findall(r"(?<!\$)\$\{(.*?)\}", str(service))
        assert [each for each in words if ":-" not in each] == []
    folder = re.sub(r"\$\{.*:-(.*)\}.*", r"\1", SERVICES["erasure"]["volumes"][-1])
    assert ROOT / folder == sample.DOWNSTREAMS.parent
    environment = SERVICES["erasure"]["environment"]
    assert environment["DSR_POLICY_OVERLAY"] == f"/etc/dsr/downstreams/{sample.POLICY.name}"
    (shop,) = read(sample.DOWNSTREAMS, environment)
    assert shop.enabled


def test_a_browser_and_intake_reach_the_identity_provider_by_one_address() -> None:
    intake, provider = SERVICES["intake"], SERVICES["identity-provider"]
    port, console, _everywhere = provider["entrypoint"][-3:]
    assert {provider["network_mode"], SERVICES["mailbox"]["network_mode"]} == {"service:intake"}
    assert intake["environment"]["DSR_CONSOLE_ISSUER"] == f"${{DSR_CONSOLE_ISSUER:-http://127.0.0.1:{port}}}"
    assert f"127.0.0.1:{port}:{port}" in intake["ports"]
    assert console == intake["environment"]["DSR_PORTAL_URL"] == ConsoleSettings().url


def test_grafana_finds_the_dashboards_and_is_told_where_its_sources_are() -> None:
    grafana = SERVICES["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "dsr.yaml").read_text())["providers"][0]
    assert mounts[f"./{DASHBOARDS.relative_to(ROOT)}"] == provider["options"]["path"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    sources = (GRAFANA / "provisioning" / "datasources" / "dsr.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+)\}", sources)) <= set(grafana["environment"])
    assert grafana["environment"]["DSR_GRAFANA_POSTGRES_USER"] == grants.DASHBOARDS


async def test_the_first_start_makes_what_all_others_need_and_a_second_one_changes_nothing(
    tmp_path: Path, empty_database: str, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "chown", lambda *_: None)  # only root gives a file away
    folders = tmp_path / "secrets", tmp_path / "tokens"
    made = []
    for folder in folders:
        folder.mkdir()
    try:
        for _ in range(2):
            await prepare(empty_database, kafka_bootstrap, *folders)
            made.append(_texts(tmp_path))
        customers = f"{empty_database}_sample_shop"
        assert (await databases.fetch(customers, "SELECT count(*) FROM customer"))[0][0] == 200
    finally:
        await sample.drop(empty_database)
        for statement in ("DROP OWNED BY", "DROP ROLE"):
            await databases.fetch(empty_database, f"{statement} {grants.DASHBOARDS}")
    assert set(made[0]) == {"keyring.json", "metrics", "grafana"}
    assert made[0] == made[1]
    assert len(set(made[0].values())) == len(made[0])


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*/*")}


# What of the manifests is generated is what the code says; tests/deploy checks them as a cluster would.
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
