"""A team that works its own store: an example of everything that such a team must write.

``python -m tests.fakes.bus_responder --store FILE --bootstrap HOST:PORT --intake URL`` reads tasks on
``dsr.tasks.billing``, fetches the identities at intake, works on its SQLite store, and replies. The team's API key
(role ``downstream:billing``) is in the environment variable ``DSR_API_KEY``.
"""

import argparse
import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import httpx
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

Message = dict[str, Any]
Fetch = Callable[[str], Awaitable[Message | None]]
"""Exchanges a token for the identities and corrections of a task; ``None``: it has expired, and a fresh one follows."""
Upload = Callable[[str, Message], Awaitable[None]]
"""Uploads a copy with a token."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS invoice (number INTEGER PRIMARY KEY, email TEXT NOT NULL, cents INTEGER NOT NULL,
                                    keep_until TEXT,  -- the last day on which the tax law wants it kept
                                    restricted INTEGER NOT NULL DEFAULT 0, offers INTEGER NOT NULL DEFAULT 1);
CREATE INDEX IF NOT EXISTS invoice_email ON invoice (email);
CREATE TABLE IF NOT EXISTS answered (command_id TEXT PRIMARY KEY, reply BLOB NOT NULL);
"""
_SWITCHES = {"restrict": "restricted = 1", "lift": "restricted = 0", "suppress": "offers = 0"}


class Billing:
    """The team's store, with a memory of what was answered: written together, so that a repeat changes nothing."""

    def __init__(self, path: str, ahead: Callable[[], int] = int) -> None:
        self.db = sqlite3.connect(path)
        self.db.create_function("ahead", 0, lambda: f"+{ahead()} days")
        self.db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def answered(self, command_id: str) -> bytes | None:
        """The reply that was given to this very command before."""
        row = self.db.execute("SELECT reply FROM answered WHERE command_id = ?", [command_id]).fetchone()
        return None if row is None else bytes(row[0])

    def work(self, task: Message, emails: Sequence[str], changes: Sequence[Message] = ()) -> bytes:
        """Do it, or look again, and remember the reply, in one transaction."""
        with self.db:
            found = len(self.rows(emails))
            if task["operation"] == "locate":
                outcome = self.look(emails, task.get("after"), changes)
            elif found > task["max_rows"]:
                outcome = {"outcome": "refused", "reason": "limit_exceeded", "found": found}
            elif not found:
                outcome = {"outcome": "no_match"}
            elif task["operation"] == "erase":
                outcome = self.erase(emails)
            elif task["operation"] == "plan":
                outcome = self.plan(emails)
            elif task["operation"] == "export":
                outcome = {"outcome": "exported", "found": found}
            else:
                outcome = self.amend(task["operation"], emails, changes)
            same = {name: task[name] for name in ("command_id", "task_id", "operation")}
            reply = orjson.dumps({"type": "dsr.task.replied.v1", **same, **outcome})
            self.db.execute("INSERT INTO answered VALUES (?, ?)", [task["command_id"], reply])
        return reply

    def look(self, emails: Sequence[str], after: str | None = None, changes: Sequence[Message] = ()) -> Message:
        """Counts the invoices, and those that are wrong."""
        found = len(self.rows([*emails, *(each["asserted"] for each in changes)]))
        if after == "rectify":  # a corrected person is not found by the old address
            left = len(self.rows([e for each in changes for e in emails if each["current"] in {None, e}]))
        else:
            left = len(self.rows(emails, f"NOT {_SWITCHES[after]}" if after else "true"))
        return {"outcome": "located", "found": found, "remaining": left} if found else {"outcome": "no_match"}

    def erase(self, emails: Sequence[str]) -> Message:
        """Delete the subject's invoices but those that must be kept."""
        found = len(self.rows(emails))
        for email in emails:
            kept = "coalesce(keep_until < date('now', ahead()), true)"
            self.db.execute(f"DELETE FROM invoice WHERE email = ? AND {kept}", [email])  # a constant
        left = self.rows(emails)
        counts = {"found": found, "changed": found - len(left), "remaining": len(left)}
        if left:
            return {"outcome": "retained", "ground": "tax_law", "until": max(row[3] for row in left), **counts}
        return {"outcome": "erased", **counts}

    def plan(self, emails: Sequence[str]) -> Message:
        """Reports what an erasure would find and keep, and changes nothing."""
        found, left = len(self.rows(emails)), self.rows(emails, "keep_until >= date('now', ahead())")
        kept = {"remaining": len(left), "ground": "tax_law", "until": max(row[3] for row in left)} if left else {}
        return {"outcome": "planned", "found": found, "by_category": {"account": found}, **kept}

    def amend(self, operation: str, emails: Sequence[str], changes: Sequence[Message]) -> Message:
        """Correct the address, or set a switch."""
        found = len(self.rows(emails))
        for email in emails:
            for each in changes:
                if each["current"] in {None, email}:
                    self.db.execute("UPDATE invoice SET email = ? WHERE email = ?", [each["asserted"], email])
            if switch := _SWITCHES.get(operation):
                self.db.execute(f"UPDATE invoice SET {switch} WHERE email = ?", [email])  # a constant
        return {"outcome": "amended", "found": found, "changed": found}

    def copy(self, command_id: str, emails: Sequence[str]) -> Message:
        """Returns the subject's rows, each with all values that identify people in it."""
        rows = [
            {
                "category": "account",
                "source": "invoice",
                "data": {"number": number, "email": email, "cents": cents},
                "matched": [{"type": "email", "value": email}],
            }
            for number, email, cents, _ in self.rows(emails)
        ]
        return {"command_id": command_id, "records": rows}

    def rows(self, emails: Sequence[str], condition: str = "true") -> list[tuple[int, str, int, str]]:
        """The subject's invoices."""
        one = f"SELECT number, email, cents, keep_until FROM invoice WHERE email = ? AND {condition}"  # constants
        return [row for email in dict.fromkeys(emails) for row in self.db.execute(one, [email])]


async def answer(value: bytes, store: Billing, fetch: Fetch, upload: Upload) -> bytes | None:
    """The reply to one task: the same to the same command, however often it comes."""
    task = orjson.loads(value)
    if (before := store.answered(task["command_id"])) is not None:
        return before
    subject = await fetch(task["claim"])
    if subject is None:
        return None
    emails = sorted({each["value"] for each in subject["identities"] if each["type"] == "email"})
    copy = store.copy(task["command_id"], emails)
    if task["operation"] == "export" and 0 < len(copy["records"]) <= task["max_rows"]:
        await upload(task["claim"], copy)
    return store.work(task, emails, subject["changes"])


def at_intake(client: httpx.AsyncClient) -> tuple[Fetch, Upload]:
    """Exchange claims for identities, and bring copies; if intake is away this process ends: the task comes again."""

    async def fetch(claim: str) -> Message | None:
        response = await client.get("/v1/tasks/identities", headers={"DSR-Claim": claim})
        if response.is_client_error and response.json()["type"].startswith("urn:dsr:problem:claim_"):
            return None
        subject: Message = response.raise_for_status().json()
        return subject

    async def upload(claim: str, copy: Message) -> None:
        response = await client.put("/v1/tasks/result", headers={"DSR-Claim": claim}, json=copy)
        response.raise_for_status()

    return fetch, upload


async def serve(system: str, store: Billing, intake: str, api_key: str, **broker: Any) -> None:
    """Hear, work, reply, and only then commit the offset; ``broker``: the arguments of its clients."""
    authorization = {"Authorization": f"Bearer {api_key}"}
    topic = f"dsr.tasks.{system}"
    consumer = AIOKafkaConsumer(
        topic, group_id=f"team-{system}", enable_auto_commit=False, auto_offset_reset="earliest", **broker
    )
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, **broker)
    try:
        await producer.start()
        await consumer.start()
        async with httpx.AsyncClient(base_url=intake, headers=authorization) as client:
            fetch, upload = at_intake(client)
            async for record in consumer:
                reply = await answer(record.value, store, fetch, upload)
                if reply is not None:
                    await producer.send_and_wait(f"{topic}.replies", reply, key=record.key)
                await consumer.commit()
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--system", default="billing")
    for name in ("--store", "--bootstrap", "--intake"):
        parser.add_argument(name, required=True)
    said = parser.parse_args()
    store, key = Billing(said.store), os.environ["DSR_API_KEY"]
    asyncio.run(serve(said.system, store, said.intake, key, bootstrap_servers=said.bootstrap))
