"""docs/operations.md: its commands are run on real servers, and what it names exists."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from deploy.k8s_documents import K8S
from deploy.k8s_render import faults, render
from deploy.k8s_schemas import Tools, prepare
from deploy.k8s_tools import kustomize
from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.postgres_binaries import find_postgres
from deploy.local.postgres_databases import named
from shared.domain.topics import PARTITIONS, TOPIC_ACCESS, ServiceName, Topic
from shared.messaging import admin
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import keyring
from shared.storage.vault import Vault
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.manifests import of, one, secret_names

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = re.findall(r"^```sh run\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
AUDITED, LOST, HEARD, ROTATED, MOVED = range(5)
KUBECTL = [
    shlex.split(line)
    for block in re.findall(r"^```sh\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return prepare()


class ProcessMetrics:
    """An operator's shell, in a folder of its own, with the variables that the page names."""

    def __init__(self, folder: Path, dsn: str, bootstrap: str) -> None:
        self.folder = folder
        self.keyring = folder / "keyring.json"
        binaries = find_postgres()
        command = folder / "dsr"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m services "$@"\n')
        command.chmod(0o755)
        self.environment = {
            "PATH": f"{folder}:{binaries.folder}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            "DSR_POSTGRES_DSN": dsn,
            "MAINTENANCE_DSN": named(dsn, "postgres"),
            "DATABASE": urlsplit(dsn).path.removeprefix("/"),
            "DSR_KAFKA_BOOTSTRAP": bootstrap,
            "DSR_VAULT_KEYRING": str(self.keyring),
            "RESTORED_TO": "2020-01-01T00:00:00+00:00",
        }

    def runs(self, block: int) -> str:
        """What a block of the page says; fails with all that was said if one of its commands fails."""
        done = self.tries(block)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tries(self, block: int) -> "subprocess.CompletedProcess[str]":
        """The same, whatever came of it."""
        script = f"set -eu\n{BLOCKS[block]}"
        return subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    return await open_harness()


@pytest.fixture
def machine(tmp_path: Path, database: str, broker: Kafka, keys: keyring.Keyring) -> ProcessMetrics:
    """In the folder where `keys` has made its keyring."""
    assert keys.active == "k1"
    return ProcessMetrics(tmp_path, database, broker.bootstrap)


async def tables(dsn: str) -> dict[str, int]:
    """How many rows each table has."""
    connection = await asyncpg.connect(dsn)
    try:
        names = await connection.fetch(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return {row[0]: await connection.fetchval(f"SELECT count(*) FROM {row[0]}") for row in names}
    finally:
        await connection.close()


async def test_the_restore_drill_brings_everything_back_and_old_subjects_open_with_the_rotated_keyring(
    machine: ProcessMetrics, database: str, harness: Harness
) -> None:
    old = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        for number in range(20):
            tx.log_evidence(old, "task.concluded", {"found": number})
    assert machine.runs(ROTATED).splitlines() == ["new subjects are sealed with k2", "k1|1"]
    vault = Vault(keyring.load(machine.keyring))
    mine = harness.unit_of_work
    harness.unit_of_work = UnitOfWorkFactory(mine.pool, mine.service, mine.clock, vault, mine.plans)
    new = await harness.subject()
    assert "holds: erasure" in machine.runs(AUDITED)
    before = await tables(database)
    assert before["evidence.entry"] == 20

    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [old, new])
    said = machine.runs(LOST)
    assert said.splitlines()[-1] == "holds: erasure"

    assert await tables(database) == before
    connection = await asyncpg.connect(database)
    try:
        sealed = await connection.fetch("SELECT subject_ref, kek_id FROM vault.subject")
        assert {row[0]: row[1] for row in sealed} == {old: "k1", new: "k2"}
        assert await vault.subject_data(connection, [old, new]) == known
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("DELETE FROM evidence.entry")
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("DELETE FROM evidence.entry WHERE seq = 20")
    finally:
        await connection.close()
    broken = machine.tries(AUDITED)
    assert broken.returncode == 1
    assert "does not hold: erasure, from entry 20 on" in broken.stdout


async def test_every_service_hears_again_what_came_after_the_backup(machine: ProcessMetrics, broker: Kafka) -> None:
    await admin.create_topics(broker.bootstrap, admin.declared())
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for topic in Topic:
            for _ in range(3):
                await producer.send_and_wait(topic, b"{}", partition=1)
    records = {service: await hear_all(broker, service) for service in ServiceName}
    assert machine.runs(MOVED).splitlines() == ["0", *(f"{service}: 0" for service in ServiceName)]
    said = machine.runs(HEARD).splitlines()
    assert said[len(ServiceName) :] == [f"{service}: {count}" for service, count in records.items()]
    assert min(records.values()) >= 3
    assert not any(" in 0 partitions" in line for line in said)


async def test_a_service_that_runs_is_not_set_back_under_its_feet(machine: ProcessMetrics, broker: Kafka) -> None:
    await admin.create_topics(broker.bootstrap, admin.declared())
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        await producer.send_and_wait(Topic.REQUESTS, b"{}", partition=2)
    async with group(broker, ServiceName.ERASURE, Topic.REQUESTS) as running:
        while not running.assignment():
            await running.getmany(timeout_ms=100)
        await running.commit({TopicPartition(Topic.REQUESTS, 2): 1})
        refused = machine.tries(HEARD)
    assert refused.returncode == 1
    assert "erasure is running" in refused.stderr


async def hear_all(broker: Kafka, service: ServiceName) -> int:
    """Commits the end of everything that a service hears; returns how many records there are."""
    heard = [topic for topic, street in TOPIC_ACCESS.items() if service in street.readers]
    places = [TopicPartition(topic, number) for topic in heard for number in range(PARTITIONS)]
    async with group(broker, service) as consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.commit(ends)
    return sum(ends.values())


def group(broker: Kafka, service: ServiceName, *topics: Topic) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(*topics, bootstrap_servers=broker.bootstrap, group_id=service, enable_auto_commit=False)


def test_every_block_that_is_to_be_run_is_run_above() -> None:
    assert len(BLOCKS) == MOVED + 1
    for number, telling in {AUDITED: "pg_dump", LOST: "DROP DATABASE", HEARD: "rewind", ROTATED: "key rotate"}.items():
        assert telling in BLOCKS[number]


def test_every_object_that_a_kubectl_line_names_is_in_the_manifests(tools: Tools) -> None:
    production = render("production", tools)
    kinds: dict[str, set[str]] = {}
    for each in production:
        kinds.setdefault(each["kind"].lower(), set()).add(each["metadata"]["name"])
    kinds["secret"] = {name for each in production for name in secret_names(each)} | kinds["kafkauser"]
    brokers = {f"dsr-kafka-{pool}-0" for pool in kinds["kafkanodepool"]}
    checked = 0
    for line in KUBECTL:
        assert line[0] == "kubectl"
        if line[1:3] == ["apply", "-k"]:
            assert (ROOT / line[3] / "kustomization.yaml").is_file()
        kind = next((word for word in line if word in kinds), None)
        for word in line:
            if re.fullmatch(r"dsr-[a-z0-9-]+", word):
                assert word in (kinds[kind] if kind else brokers), f"{kind}: {word}"
                checked += 1
    assert checked >= 15
    for name in re.findall(r"kubectl cnpg \w+ ([\w-]+)", PAGE):
        assert name in kinds["cluster"]


def test_the_patch_that_restores_the_cluster_is_valid_to_the_letter(tools: Tools, run_folder: Path) -> None:
    (kind, patch) = re.findall(r"^```yaml patch=(\w+)\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]
    overlay = run_folder / "restored"
    overlay.mkdir()
    kustomization = {
        "resources": [os.path.relpath(K8S / "overlays" / "production", overlay)],
        "patches": [{"target": {"kind": kind, "name": "dsr-postgres"}, "patch": patch}],
    }
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = list(yaml.safe_load_all(kustomize(tools.kubectl, overlay)))
    assert list(faults(objects, tools)) == []
    spec = one(objects, "Cluster", "dsr-postgres")["spec"]
    (before,) = spec["externalClusters"]
    assert spec["bootstrap"]["recovery"]["source"] == before["name"]
    stored = spec["backup"]["barmanObjectStore"]
    assert before["barmanObjectStore"]["destinationPath"] == stored["destinationPath"]
    assert before["barmanObjectStore"]["serverName"] != stored["serverName"]


def test_the_arithmetic_of_the_sizing_table_is_right(tools: Tools) -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \| ([\d, ]+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    assert [row[0] for row in rows] == ["1", "100", "10,000"]
    milliseconds = round(2 / 266 * 1000, 1)
    assert f"2 cores / 266 = {milliseconds} ms" in PAGE
    for a_minute, peak, cores, instances, connections, partitions in rows:
        a_second = int(a_minute.replace(",", "")) / 60 * 3
        assert float(peak) == pytest.approx(a_second)
        needed = a_second * 0.0075 / 0.6
        assert float(cores) == pytest.approx(needed, abs=0.06)
        counts = [int(count) for count in instances.split(",")]
        assert max(counts) >= needed
        assert max(counts) <= int(partitions)
        assert int(connections) == 8 * sum(counts)
    production = render("production", tools)
    bounds = [each["spec"]["maxReplicaCount"] for each in of(production, "ScaledObject")]
    assert f"= {sum(bounds)} instances: {8 * sum(bounds)} connections" in PAGE
    pooler = one(production, "Pooler", "dsr-postgres-pooler")["spec"]
    visits = pooler["instances"] * int(pooler["pgbouncer"]["parameters"]["default_pool_size"]) + 1
    limit = int(one(production, "Cluster", "dsr-postgres")["spec"]["postgresql"]["parameters"]["max_connections"])
    assert (
        f"with pooler and migration {8 * sum(bounds) + visits}, below the cluster's `max_connections` of {limit}"
        in PAGE
    )
