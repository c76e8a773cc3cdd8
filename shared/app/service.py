"""Runs a service: loops that consume, work, relay and serve, in one process that ends if any of them fails.

SIGTERM drains: the service takes no new batch, finishes its work in hand, empties the outbox, and ends. Work that takes
too long then, because the database is away or a system does not answer, is left to other processes, as after a kill.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket

import uvloop
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from shared.app import http
from shared.app.process_metrics import ProcessMetrics
from shared.app.supervisor import misconfigured, supervise, watch
from shared.domain import topics
from shared.domain.errors import DsrError, Misconfigured, of_variable
from shared.domain.events import Event, RequestExpired, type_of
from shared.domain.operations import ANSWERING, NOTIFICATIONS, Operation, Step
from shared.domain.rights import Right
from shared.domain.topics import ServiceName
from shared.fulfilment import handlers
from shared.fulfilment.completion import TaskCompletion
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.lease import RENEWALS, Lease, Reaper
from shared.fulfilment.replies import Replies
from shared.fulfilment.store import Conclude
from shared.fulfilment.system_gate import SystemGate
from shared.fulfilment.worker import Worker
from shared.messaging import inbox
from shared.messaging.consumer import Consumer, instance
from shared.messaging.dispatcher import BatchDispatcher, Dispatcher, Handler, Subscription
from shared.messaging.outbox import Relay
from shared.messaging.producer import BusAway, KafkaProducer
from shared.messaging.progress import loop_of
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime import telemetry
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import FIGURES, run_periodically
from shared.runtime.settings import OLD_TIME_LIMITS, Settings
from shared.storage import keyring
from shared.storage.grants import FULFILLING
from shared.storage.postgres import close_pool, connect_pool, reachable, terminate_stalled
from shared.storage.systems import REQUIRED_STATES, SystemStatus, register
from shared.storage.uploads import Uploads
from shared.storage.vault import Vault
from shared.systems.registry import Downstreams, Wiring

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Running:
    """The resources that loops and API of a running service share."""

    settings: Settings
    unit_of_work: UnitOfWorkFactory
    tracing: telemetry.Tracing
    heartbeats: Heartbeats
    stopping: asyncio.Event
    downstreams: Downstreams | None = None
    lease: Lease | None = None


Loop = Callable[[Running], Awaitable[None]]
ConsumerFactory = Callable[[Running], tuple[BatchDispatcher, Sequence[str]]]
"""Handles records of these topics in a consumer group of its own."""
Api = Callable[[Running, Sequence[Route]], ASGIApp]
"""Builds the application of a service; the routes are those of probes and metrics, which it has too."""

_COLLECT_EVERY = 50_000
"""Allocations between two runs of the garbage collector: by default it runs many times for each batch, in vain."""
_SWITCH_SECONDS = 0.001
"""Seconds for which a thread may keep the interpreter from the event loop: a fifth of the default."""


def tune_garbage_collector() -> None:
    """Exempts what is loaded by now from garbage collection, and lets the collector run seldom."""
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY)
    gc.enable()


class Service:
    """Names what a service consumes, works and serves; ``run()`` does so until SIGTERM."""

    def __init__(self, name: str) -> None:
        self.name = ServiceName(name)
        self.subscriptions: dict[str, list[Subscription]] = {}
        self.fulfilments = Fulfilments()
        self.conclusions: dict[Operation, Conclude] = {}
        self._loops: list[Loop] = []
        self._consumers: list[ConsumerFactory] = []
        self._api: Api | None = None
        if self.name in FULFILLING:
            self.on(RequestExpired, handlers.delete_expired)

    def on(self, event: type[Event], handler: Handler, *, right: Right | None = None) -> None:
        """Hands events of that class, of that right only if one is given, to a handler."""
        self.subscriptions.setdefault(type_of(event), []).append(Subscription(event, handler, right))

    def add_worker(self, operation: Operation, *, concludes: Conclude) -> None:
        """Works the tasks of that operation; ``concludes`` is called with fulfilments whose every task is done."""
        self.conclusions[operation] = concludes

    def add_loops(self, *loops: Loop) -> None:
        """Runs loops of the service's own."""
        self._loops += loops

    def add_consumer(self, factory: ConsumerFactory) -> None:
        """Consumes external topics in a consumer of their own, so that they delay nothing else."""
        self._consumers.append(factory)

    def serve(self, api: Api) -> None:
        """Serves an API next to health and metrics."""
        self._api = api

    def run(self, configure: Callable[[], None] = lambda: None) -> None:
        """Runs until SIGTERM or SIGINT, or until a loop fails; then the process ends with status 1 and one line.

        ``configure`` reads what the service's subscriptions need; an error in it ends the process in the same way.
        """
        try:
            configure()
            settings = Settings()
        except Misconfigured as error:
            sys.exit(f"dsr-{self.name} cannot start; {' '.join(str(error).split())}")
        telemetry.start_logging(settings.telemetry)
        if OLD_TIME_LIMITS in os.environ:
            log.warning("%s is the old name of DSR_POLICY_TIME_LIMITS: set that one instead", OLD_TIME_LIMITS)
        tune_garbage_collector()
        sys.setswitchinterval(_SWITCH_SECONDS)
        try:
            uvloop.run(self._run(settings))
        except DsrError as error:
            sys.exit(f"dsr-{self.name} cannot start; {' '.join(str(error).split())}")
        except Exception as error:  # noqa: BLE001  # an uncaught one would be printed with its message
            if fault := misconfigured(error):
                sys.exit(f"dsr-{self.name} cannot start; {' '.join(str(fault).split())}")
            sys.exit(f"dsr-{self.name} ended: {telemetry.where(error)}")

    async def _run(self, settings: Settings) -> None:
        async with AsyncExitStack() as stack:
            listener = stack.enter_context(http.bound(settings.http))
            pool = await connect_pool(settings.postgres, self.name, reserved=1 if self.conclusions else 0)
            stack.push_async_callback(close_pool, pool)
            producer = KafkaProducer(settings.kafka)
            await self._reach_broker(producer)
            stack.push_async_callback(producer.stop)
            keys = of_variable("DSR_VAULT_KEYRING", partial(keyring.load, settings.vault.keyring))
            vault, clock = Vault(keys), settings.clock.clock()
            policy = settings.policy.read_processing()
            downstreams = None
            if self.conclusions:
                uploads = Uploads(pool, vault, clock)
                wiring = Wiring(os.environ, clock, producer.send, vault.keyring.claims, uploads, policy)
                load = partial(Downstreams.load, settings.work.downstreams, wiring)
                downstreams = of_variable("DSR_WORK_DOWNSTREAMS", load)
                stack.push_async_callback(downstreams.close)
                async with pool.acquire() as connection:
                    known = await register(connection, downstreams.fingerprints)
                self._plan_fulfilments(downstreams, known, settings.work.downstreams)
            unit_of_work = UnitOfWorkFactory(pool, self.name, clock, vault, policy)
            tracing, end_tracing = telemetry.start_tracing(self.name, settings.telemetry)
            stack.callback(end_tracing)
            heartbeats = Heartbeats(settings.process.still_seconds)
            lease = Lease(settings.work.lease_seconds)
            running = Running(settings, unit_of_work, tracing, heartbeats, asyncio.Event(), downstreams, lease)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, running.stopping.set)
            drained = asyncio.Event()  # set when nothing can come into the outbox any more
            relay = Relay(pool, self.name, producer.send, unit_of_work.relay_wakeup).run(drained, heartbeats)
            final_loops: dict[str, Awaitable[None]] = {"relay": relay}
            if downstreams:
                final_loops["lease"] = lease.run(settings.postgres, self.name, drained, heartbeats)
            async with asyncio.TaskGroup() as group:  # noqa: TID251  # the process ends with it
                loops = self._all_loops(running, producer, listener)
                if downstreams:
                    loops |= self._fulfilment_loops(running, downstreams, lease)
                group.create_task(self._drain(loops, running, drained))
                group.create_task(supervise(final_loops, drained, settings.process.outbox_seconds))

    def _plan_fulfilments(self, downstreams: Downstreams, known: Mapping[str, SystemStatus], file: Path) -> None:
        required = {name for name, system in known.items() if system.state in REQUIRED_STATES}
        for operation in self.conclusions:
            able = {each.name for each in downstreams.that_can(operation)} | downstreams.by_hand(operation)
            # Without ticketing, warnings are events only; a dry run names systems that cannot answer.
            if not able & required and operation not in {*NOTIFICATIONS, Operation.PLAN}:
                remedy = f"run `dsr downstreams on {min(able)}`" if able else f"declare one in {file}"
                raise Misconfigured(f"no downstream that is switched on can {operation}: {remedy}")
        self.fulfilments.stages_of = {operation: downstreams.stages(operation) for operation in self.conclusions}
        self.fulfilments.by_hand = {operation: downstreams.by_hand(operation) for operation in self.conclusions}
        self.fulfilments.register(downstreams.all)
        located = {each.name for each in downstreams.that_can(Operation.LOCATE)}
        if self.conclusions.keys() & ANSWERING:
            self.fulfilments.observers = located - required

    async def _reach_broker(self, producer: KafkaProducer) -> None:
        """Connects to the broker; an API is served without one, since what it accepts waits in the outbox."""
        try:
            await producer.start()
        except BusAway as error:
            if not self._api:
                raise
            log.warning("%s; until then what comes in waits", error)

    async def _drain(self, loops: Mapping[str, Awaitable[None]], running: Running, drained: asyncio.Event) -> None:
        settings = running.settings
        await supervise(loops, running.stopping, settings.http.linger_seconds + settings.process.drain_seconds)
        drained.set()
        running.unit_of_work.relay_wakeup.wake()

    def _all_loops(self, running: Running, producer: KafkaProducer, listener: socket) -> dict[str, Awaitable[None]]:
        """Returns the loops by name, except relay and lease, which end after all others."""
        process_metrics = ProcessMetrics(running.unit_of_work, self.fulfilments.steps)
        loops: dict[str, Awaitable[None]] = {_name(loop): loop(running) for loop in self._loops}
        loops["machine"] = _every_five_seconds(process_metrics.measure, "machine", running, share=FIGURES)
        stalled = partial(terminate_stalled, running.unit_of_work.pool, running.settings.postgres.idle_seconds)
        loops["frozen"] = _every_five_seconds(stalled, "frozen", running)
        loops["event loop lag"] = process_metrics.event_loop_lag(running.stopping)
        limit = running.settings.process.give_up_seconds
        loops["watch"] = watch(self.name, running.heartbeats, limit, running.stopping)
        loops["http"] = self._serve(running, producer, listener)
        if self.subscriptions:
            forget = partial(_prune_inbox, running.unit_of_work)
            loops["inbox"] = run_periodically(forget, "inbox", 60.0, running.stopping, running.heartbeats)
            a_day, heartbeats = running.settings.kafka.dead_letters_a_day, running.heartbeats
            dispatcher = Dispatcher(self.subscriptions, running.unit_of_work, running.tracing, a_day, heartbeats)
            loops |= self._consumer_loop(running, dispatcher, topics.read_by(self.name))
        for factory in self._consumers:
            loops |= self._consumer_loop(running, *factory(running))
        return loops

    def _fulfilment_loops(self, running: Running, downstreams: Downstreams, lease: Lease) -> dict[str, Awaitable[None]]:
        """Returns the workers of each step, as many as its system takes, and the consumer of replies from bus teams."""
        work = running.settings.work
        reaper = Reaper(running.unit_of_work, self.fulfilments, work)
        every = work.lease_seconds / RENEWALS
        loops: dict[str, Awaitable[None]] = {
            "reaper": run_periodically(reaper.run, "reaper", every, running.stopping, running.heartbeats)
        }
        standings = SystemGate(running.unit_of_work, self.fulfilments, self.conclusions, downstreams.fingerprints, work)
        loops["standings"] = _every_five_seconds(standings.run, "standings", running)
        completion = TaskCompletion(running.unit_of_work, self.fulfilments, self.conclusions, work)
        common = (completion, running.tracing, lease)
        asking = {Step(system, Operation.LOCATE) for system in self.fulfilments.observers}
        for system, operation in self.fulfilments.steps | asking:
            downstream = downstreams.get(system)
            for number in range(downstream.capabilities.concurrency):
                name = f"{system}:{operation}" + (f":{number + 1}" if number else "")
                loops[name] = Worker(downstream, operation, *common).run(running.stopping, running.heartbeats, name)
        if asked := sorted({system for system, _ in self.fulfilments.steps} & {*downstreams.on_the_bus}):
            a_day = running.settings.kafka.dead_letters_a_day
            alone = {system for system in asked if downstreams.get(system).calling_services[0] == self.name}
            replies = Replies(running.unit_of_work, self.fulfilments, a_day, running.heartbeats, alone)
            loops |= self._consumer_loop(running, replies, [topics.replies(system) for system in asked])
        return loops

    def _consumer_loop(
        self, running: Running, dispatcher: BatchDispatcher, topics_read: Sequence[str]
    ) -> dict[str, Awaitable[None]]:
        consumer = Consumer(running.settings.kafka, dispatcher.group, topics_read, instance(running.settings.http.port))
        return {loop_of(dispatcher.group): consumer.run(dispatcher, running.stopping, running.heartbeats)}

    async def _serve(self, running: Running, producer: KafkaProducer, listener: socket) -> None:
        settings = running.settings
        needed: dict[str, Callable[[], Awaitable[bool]]] = {"database": partial(reachable, running.unit_of_work.pool)}
        if not self._api:  # what an API accepts waits in the outbox for the broker
            needed |= {"broker": producer.reachable, "loops": running.heartbeats.all_running}
        probes = http.probes(running.heartbeats, running.stopping, needed, settings.telemetry.privacy_token)
        app = self._api(running, probes) if self._api else Starlette(routes=probes)
        await http.serve(app, listener, settings.http, settings.process.drain_seconds, running.stopping)


async def _prune_inbox(unit_of_work: UnitOfWorkFactory) -> None:
    """Deletes inbox marks of events that can no longer be delivered again."""
    async with unit_of_work.pool.acquire() as connection:
        await inbox.forget(connection, unit_of_work.clock.now() - inbox.KEEP)


def _every_five_seconds(
    do: Callable[[], Awaitable[None]], name: str, running: Running, share: int = 1
) -> Awaitable[None]:
    return run_periodically(do, name, 5.0, running.stopping, running.heartbeats, share=share)


def _name(loop: Loop) -> str:
    function = getattr(loop, "func", loop)  # of a partial
    return f"{function.__module__}.{function.__qualname__}"
