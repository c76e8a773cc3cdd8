"""A team that erases its own store: an example of everything that such a team has to write.

``python -m tests.fakes.bus_responder --store FILE --bootstrap HOST:PORT --intake URL`` hears tasks on
``dsr.tasks.billing``, fetches the identities at intake, works on its SQLite store, and replies. The team's API key
(role ``downstream:billing``) is in the environment variable ``DSR_API_KEY``.
"""

import argparse
import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

Message = dict[str, Any]
Fetch = Callable[[str], Awaitable[list[Message] | None]]
"""From a claim to the identities of the subject; ``None`` if the claim is no longer good: a fresh one will come."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoice (number INTEGER PRIMARY KEY, email TEXT NOT NULL, cents INTEGER NOT NULL,
                                    keep_until TEXT);  -- the last day on which the tax law wants it kept
CREATE INDEX IF NOT EXISTS invoice_email ON invoice (email);
CREATE TABLE IF NOT EXISTS answered (command_id TEXT PRIMARY KEY, reply BLOB NOT NULL);
"""


class Billing:
    """The team's store, with a memory of what was answered: written together, so that a repeat changes nothing."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path)
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def answered(self, command_id: str) -> bytes | None:
        """The reply that was given to this very command before."""
        row = self.db.execute("SELECT reply FROM answered WHERE command_id = ?", [command_id]).fetchone()
        return None if row is None else bytes(row[0])

    def work(self, task: Message, emails: list[str]) -> bytes:
        """Erase or count, and remember the reply, in one transaction."""
        with self.db:
            outcome = self.erase(emails, task["max_rows"]) if task["operation"] == "erase" else self.look(emails)
            same = {name: task[name] for name in ("command_id", "task_id", "operation")}
            reply = orjson.dumps({"type": "dsr.task.replied.v1", **same, **outcome})
            self.db.execute("INSERT INTO answered VALUES (?, ?)", [task["command_id"], reply])
        return reply

    def look(self, emails: list[str]) -> Message:
        """How many invoices there are."""
        found = self._count(emails)
        return {"outcome": "located", "found": found, "remaining": found} if found else {"outcome": "no_match"}

    def erase(self, emails: list[str], max_rows: int) -> Message:
        """Delete the subject's invoices but those that must be kept, unless there are suspiciously many."""
        found = self._count(emails)
        if found > max_rows:
            return {"outcome": "refused", "reason": "blast_radius", "found": found}
        if not found:
            return {"outcome": "no_match"}
        self.db.executemany(
            "DELETE FROM invoice WHERE email = ? AND coalesce(keep_until < date('now'), true)",
            [[email] for email in emails],
        )
        remaining = self._count(emails)
        counts = {"found": found, "changed": found - remaining, "remaining": remaining}
        if remaining:
            return {"outcome": "retained", "ground": "tax_law", "until": self._kept_until(emails), **counts}
        return {"outcome": "erased", **counts}

    def _kept_until(self, emails: list[str]) -> str:
        one = "SELECT max(keep_until) FROM invoice WHERE email = ?"
        return max(self.db.execute(one, [email]).fetchone()[0] or "" for email in emails)

    def _count(self, emails: list[str]) -> int:
        one = "SELECT count(*) FROM invoice WHERE email = ?"
        return sum(int(self.db.execute(one, [email]).fetchone()[0]) for email in emails)


async def answer(value: bytes, store: Billing, fetch: Fetch) -> bytes | None:
    """The reply to one task: the same to the same command, however often it comes."""
    task = orjson.loads(value)
    if (before := store.answered(task["command_id"])) is not None:
        return before
    identities = await fetch(task["claim"])
    if identities is None:
        return None
    return store.work(task, sorted({each["value"] for each in identities if each["type"] == "email"}))


def fetch_from(client: httpx.AsyncClient) -> Fetch:
    """Exchange claims for identities at intake; an intake that is away ends this process, and the task comes again."""

    async def fetch(claim: str) -> list[Message] | None:
        response = await client.get("/v1/tasks/identities", headers={"DSR-Claim": claim})
        if response.is_client_error and response.json()["type"].startswith("urn:dsr:problem:claim_"):
            return None
        identities: list[Message] = response.raise_for_status().json()["identities"]
        return identities

    return fetch


async def serve(system: str, store: Billing, bootstrap: str, intake: str, api_key: str) -> None:
    """Hear, work, reply, and only then commit the offset."""
    authorization = {"Authorization": f"Bearer {api_key}"}
    topic = f"dsr.tasks.{system}"
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=f"team-{system}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    async with httpx.AsyncClient(base_url=intake, headers=authorization) as client, producer, consumer:
        async for record in consumer:
            reply = await answer(record.value, store, fetch_from(client))
            if reply is not None:
                await producer.send_and_wait(f"{topic}.replies", reply, key=record.key)
            await consumer.commit()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="billing")
    for name in ("--store", "--bootstrap", "--intake"):
        parser.add_argument(name, required=True)
    said = parser.parse_args()
    asyncio.run(serve(said.system, Billing(said.store), said.bootstrap, said.intake, os.environ["DSR_API_KEY"]))
