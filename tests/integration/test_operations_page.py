"""Runs the commands of the operations page on real servers."""

import asyncio
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from uuid_utils.compat import uuid7

from deploy.local.kafka import Kafka
from deploy.local.paths import ROOT
from deploy.local.postgres import find_postgres
from deploy.local.postgres_databases import fetch, named
from shared.domain.events import RequestClosed
from shared.domain.rights import Outcome, Right
from shared.domain.topics import PARTITIONS, TOPIC_ACCESS, ServiceName, Topic
from shared.messaging import admin, outbox
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.storage import keyring
from shared.storage.postgres import connected
from shared.storage.vault import Vault
from tests.fixtures import pages
from tests.fixtures.engine import Harness, OpenHarness
from tests.fixtures.events import a
from tests.fixtures.live import eventually
from tests.fixtures.process import running

AUDITED, LOST, REREAD, ROTATED, MOVED = "audit", "lose", "consume-again", "rotate-keys", "move"


class Shell:
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
        }

    def runs(self, block: str) -> str:
        """Runs a block of the page; fails with its output if a command fails."""
        done = self.tries(block)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tries(self, block: str) -> "subprocess.CompletedProcess[str]":
        """The same, whatever came of it."""
        script = f"set -eu\n{pages.block('sh', block)}"
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
def shell(tmp_path: Path, database: str, broker: Kafka, keys: keyring.Keyring) -> Shell:
    """Returns a shell in the folder where `keys` has made its keyring."""
    assert keys.active == "k1"
    return Shell(tmp_path, database, broker.bootstrap)


async def tables(dsn: str) -> dict[str, int]:
    """Counts the rows of each table."""
    async with connected(dsn) as connection:
        names = await connection.fetch(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return {row[0]: await connection.fetchval(f"SELECT count(*) FROM {row[0]}") for row in names}


BILLING = '[billing]\nadapter = "bus"\nneeds = ["email"]\n'
UNREAD = [("ce_type", b"dsr.of.no.one.v1")]


async def is_shredded(dsn: str, subject: UUID) -> bool:
    rows = await fetch(dsn, "SELECT wrapped_key IS NULL FROM vault.subject WHERE subject_ref = $1", subject)
    return bool(rows[0][0])


async def test_restore_drill_brings_back_what_backup_and_bus_hold(
    shell: Shell, database: str, harness: Harness, broker: Kafka, tmp_path: Path
) -> None:
    await admin.create_topics(broker.bootstrap, admin.declared())
    earlier = await read_all(broker)
    shell.environment["RESTORED_TO"] = harness.unit_of_work.clock.now().isoformat()
    old = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        for number in range(20):
            tx.log_evidence(old, "task.concluded", {"found": number})
    assert shell.runs(ROTATED).splitlines() == ["new subjects are sealed with k2", "k1|1"]
    vault = Vault(keyring.load(shell.keyring))
    mine = harness.unit_of_work
    harness.unit_of_work = UnitOfWorkFactory(mine.pool, mine.service, mine.clock, vault)
    new = await harness.subject()
    async with harness.unit_of_work.begin() as tx:
        known = await tx.vault.subject_data(tx.connection, [old, new])
    assert "holds: erasure" in shell.runs(AUDITED)  # and with it the backup
    before = await tables(database)

    closed = a(RequestClosed, request_id=uuid7(), subject=old, right=Right.ERASURE, outcome=Outcome.FULFILLED)
    said = outbox.message(closed, ServiceName.INTAKE, None)
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for topic in Topic:
            for _ in range(3):
                await producer.send_and_wait(topic, b"{}", partition=1, headers=UNREAD)
        headers = [(name, value.encode()) for name, value in said.headers.items()]
        await producer.send_and_wait(said.topic, said.value, key=said.key, headers=headers)
    records = await read_all(broker) - earlier
    assert min(records.values()) >= 3
    assert shell.runs(MOVED).splitlines() == ["0", *(f"{service}: 0" for service in ServiceName)]

    assert shell.runs(LOST).splitlines()[-1] == "holds: erasure"
    assert await tables(database) == before
    async with connected(database) as connection:
        sealed = await connection.fetch("SELECT subject_ref, kek_id FROM vault.subject")
        assert {row[0]: row[1] for row in sealed} == {old: "k1", new: "k2"}
        assert await vault.subject_data(connection, [old, new]) == known
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("DELETE FROM evidence.entry")

    again = shell.runs(REREAD).splitlines()
    assert again[len(ServiceName) :] == [f"{service}: {count}" for service, count in records.items()]
    assert not any(" in 0 partitions" in line for line in again)
    (folder := tmp_path / "erasure").mkdir()
    async with running(ServiceName.ERASURE, database, broker, folder, BILLING):
        await eventually(partial(is_shredded, database, old))
        refused = await asyncio.to_thread(shell.tries, REREAD)
    assert (refused.returncode, await is_shredded(database, new)) == (1, False)
    assert "erasure is running" in refused.stderr

    async with connected(database) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("DELETE FROM evidence.entry WHERE seq = 20")
    broken = shell.tries(AUDITED)
    assert broken.returncode == 1
    assert "does not hold: erasure, from entry 21 on" in broken.stdout


async def read_all(broker: Kafka) -> Counter[str]:
    """Commits for each service the end of all that it reads; returns how many records there are for it."""
    counts = Counter[str]()
    for service in ServiceName:
        topics = [topic for topic, access in TOPIC_ACCESS.items() if service in access.readers]
        places = [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
        async with AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap, group_id=service, enable_auto_commit=False
        ) as consumer:
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.commit(ends)
        counts[service] = sum(ends.values())
    return counts
