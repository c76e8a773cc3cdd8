"""The command that examines the systems of a downstreams file; teams on the bus through the platform around them."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import asyncpg
import orjson
import typer
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import UnknownTopicOrPartitionError
from pydantic import JsonValue

from shared.domain import topics
from shared.domain.clock import Clock
from shared.domain.errors import DsrError, Misconfigured
from shared.domain.topics import Message, ServiceName
from shared.messaging.producer import HOW_TO_MAKE_TOPICS, KafkaProducer
from shared.runtime.settings import KafkaSettings, VaultSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.subject_data import SubjectData
from shared.storage.uploads import Uploads
from shared.storage.vault import Vault
from shared.systems.bus.messages import MalformedReply, answered_by, parse_reply, progress_from_reply
from shared.systems.commands import AsJson
from shared.systems.conformance import live
from shared.systems.conformance.checks import CheckResults, lines_of, status
from shared.systems.conformance.checks import as_json as findings_as_json
from shared.systems.conformance.live import LiveSystem, Seeder
from shared.systems.contract import Task
from shared.systems.downstream import Downstream
from shared.systems.file import read
from shared.systems.registry import Wiring

_NEEDED = ("DSR_KAFKA_BOOTSTRAP", "DSR_POSTGRES_DSN", "DSR_VAULT_KEYRING")


def conformance(
    file: Path,
    *,
    system: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    sweep: Annotated[bool, typer.Option("--sweep", help="Only remove what earlier runs have left behind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Try on a live system everything that it is declared to do, on invented people that it is filled with.

    A team on the bus is asked through the platform, so with its settings (`.local/up/dsr conformance …`). Status 0 if
    all is well, 1 if something is not so, 2 if something could not be found out.
    """
    wiring = Wiring.of_command()
    try:
        if sweep:
            names = asyncio.run(live.sweep(file, wiring))
            typer.echo(orjson.dumps({"swept": names}) if as_json else f"swept: {', '.join(names) or 'nothing'}")
            return
        found = asyncio.run(_examine(file, wiring, system or ()))
    except DsrError as error:
        typer.echo(f"dsr: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        typer.echo(orjson.dumps({name: findings_as_json(findings) for name, findings in found.items()}))
    else:
        typer.echo("\n".join(line for name, findings in found.items() for line in lines_of(name, findings)))
    raise typer.Exit(status(found.values()))


async def _examine(file: Path, wiring: Wiring, names: Sequence[str]) -> Mapping[str, CheckResults]:
    teams = [
        each.name
        for each in read(file, wiring.environment, "bus")
        if each.enabled and (each.name in names or not names)
    ]
    if not teams or not all(map(wiring.environment.get, _NEEDED)):
        return await live.examine(file, wiring, names)
    async with platform(teams, wiring.clock) as bus:
        token_key = bus.vault.keyring.claims
        wired = replace(wiring, publish=bus.publish, token_key=token_key, uploads=bus)
        return await live.examine(file, wired, names, bus.live)


@dataclass
class Platform:
    """The platform as the examination of teams uses it: its vault, its topics, and where copies are uploaded.

    ``people``: by reference what is to be sealed before the next command goes out; ``asked``: the tasks of all of them;
    ``waiting``: those of which a reply has yet to come.
    """

    pool: asyncpg.Pool
    vault: Vault
    clock: Clock
    producer: KafkaProducer
    replies: AIOKafkaConsumer
    uploads: Uploads
    people: dict[UUID, SubjectData] = field(default_factory=dict)
    asked: set[UUID] = field(default_factory=set)
    waiting: set[UUID] = field(default_factory=set)
    sealed: list[UUID] = field(default_factory=list)

    def live(self, downstream: Downstream, seeding: Seeder | None = None, sharing: Seeder | None = None) -> LiveSystem:
        """A team under examination."""
        return _TeamLive(downstream, seeding, sharing, platform=self)

    def about(self, task: Task) -> None:
        """Says whom a task will be about."""
        self.people[task.subject_ref] = SubjectData(task.identities, task.changes)
        self.asked.add(task.task_id)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Sends commands, once it is sealed whom they are about."""
        await self._seal()
        self.waiting.update(UUID(orjson.loads(message.value)["task_id"]) for message in messages)
        await self.producer.send(messages)

    async def expect(self, system: str, commands: Mapping[UUID, UUID]) -> None:
        """Opens a place for each copy."""
        await self._seal()
        await self.uploads.expect(system, commands)

    async def take(self, commands: Sequence[UUID]) -> Mapping[UUID, bytes]:
        """The copies that have come."""
        return await self.uploads.take(commands)

    async def _seal(self) -> None:
        rows = [self.vault.new_subject(ref, data, self.clock.now()) for ref, data in self.people.items()]
        self.sealed += self.people
        self.people.clear()
        if rows:
            async with self.pool.acquire() as connection:
                await self.vault.insert_subjects(connection, rows)

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Returns once there is a reply to every task that was sent, or after so long, as where none is waited for.

        Raises:
            MalformedReply: a reply to one of them cannot be read
        """
        if not self.waiting:
            await asyncio.sleep(delay.total_seconds())
        clock = asyncio.get_running_loop()
        until = clock.time() + delay.total_seconds()
        while self.waiting and (left := until - clock.time()) > 0:
            fetched = await self.replies.getmany(timeout_ms=int(1000 * left) + 1)
            for value in (record.value for records in fetched.values() for record in records):
                self._take(value, progress)

    def _take(self, value: bytes, progress: dict[UUID, dict[str, JsonValue]]) -> None:
        try:
            task_id, said = progress_from_reply(parse_reply(value))
        except MalformedReply:
            answered = answered_by(value)
            if answered and answered[0] in self.asked:
                raise
            return
        self.waiting.discard(task_id)
        if task_id in self.asked:
            progress.setdefault(task_id, {}).update(said)

    async def forget(self) -> None:
        """Removes everybody of the examination from the vault."""
        async with self.pool.acquire() as connection, connection.transaction():
            for table in ("sealed", "subject"):
                gone = f"DELETE FROM vault.{table} WHERE subject_ref = ANY($1)"  # noqa: S608  # our names
                await connection.execute(gone, self.sealed)


@dataclass
class _TeamLive(LiveSystem):
    """A team on the bus that is running somewhere."""

    platform: Platform = field(kw_only=True)

    def about(self, task: Task) -> None:
        """Sealed before the team is asked."""
        self.platform.about(task)

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        """Reads what the team has replied meanwhile."""
        await self.platform.hear(progress, delay)


@asynccontextmanager
async def platform(teams: Sequence[str], clock: Clock) -> AsyncIterator[Platform]:
    """The platform that the settings of the services name.

    Raises:
        Misconfigured: it is not there, or lacks a topic for the replies of one of these teams
    """
    settings = KafkaSettings.of_environment()
    vault = Vault(keyring.load(VaultSettings.of_environment().keyring))
    producer = KafkaProducer(settings)
    replies = AIOKafkaConsumer(*map(topics.replies, teams), **settings.client(), enable_auto_commit=False)
    async with await connect_pool(PostgresSettings.of_environment(), ServiceName.EXPORT) as pool:
        await producer.start()
        try:
            try:
                await replies.start()
            except UnknownTopicOrPartitionError:
                raise Misconfigured(f"the broker lacks a topic of {', '.join(teams)}: {HOW_TO_MAKE_TOPICS}") from None
            await replies.seek_to_end()
            for place in replies.assignment():
                await replies.position(place)  # what is replied from now on is behind it
            bus = Platform(pool, vault, clock, producer, replies, Uploads(pool, vault, clock))
            try:
                yield bus
            finally:
                await bus.forget()
        finally:
            await replies.stop()
            await producer.stop()
