"""Every setting has limits, and a mistake is one line: name, value, and allowed values."""

import asyncio
import importlib
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from pydantic import BaseModel

from services.deadline.settings import DeadlineSettings
from services.intake.settings import IntakeSettings
from shared.app.http import bound
from shared.app.service import Service
from shared.app.supervisor import LoopEnded, supervise, watch
from shared.domain.configuration import Group
from shared.domain.errors import Misconfigured
from shared.domain.proofs import IdentityPolicy
from shared.domain.time_limit_policy import TIME_LIMITS, read_policy
from shared.domain.toml_file import read_toml
from shared.domain.topics import ServiceName
from shared.messaging.outbox import Relay
from shared.runtime.liveness import Heartbeats
from shared.runtime.loops import Wakeup, backoff, gather, run_periodically
from shared.runtime.settings import (
    HttpSettings,
    KafkaSettings,
    PolicySettings,
    ProcessSettings,
    Settings,
    TelemetrySettings,
    VaultSettings,
    WorkSettings,
)
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings
from shared.systems import file
from shared.systems.bus.settings import BusSettings
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.settings import SqlSettings
from shared.systems.tryton.settings import TrytonSettings
from tests.fixtures.metrics import comes_to
from tests.fixtures.virtual_time import SkippingLoop

OF_A_PROCESS = (
    *(PostgresSettings, KafkaSettings, HttpSettings, VaultSettings, WorkSettings, TelemetrySettings),
    *(ProcessSettings, PolicySettings, DeadlineSettings, IntakeSettings),
)
OF_A_SYSTEM = (SqlSettings, TrytonSettings, RoundupSettings, OpenDsrSettings, BusSettings)
NUMBERS = [
    (group, name)
    for group in (*OF_A_PROCESS, *OF_A_SYSTEM)
    for name, info in group.model_fields.items()
    if info.annotation in (int, float)
]
COMPLETE = {
    "DSR_POSTGRES_DSN": "postgresql://127.0.0.1/dsr",
    "DSR_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
    "DSR_HTTP_PORT": "8080",
    "DSR_VAULT_KEYRING": __file__,
    "DSR_WORK_DOWNSTREAMS": "downstreams.toml",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Sets what a service needs, and nothing else."""
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_misspelt_variable_stops_the_start_and_an_alias_does_not(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DSR_DEADLINE_POLICY", str(TIME_LIMITS))
    environment.setenv("DSR_CRM_URL", "http://127.0.0.1")
    DeadlineSettings()
    Settings()
    environment.setenv("DSR_WORK_BATHC", "3")
    environment.setenv("DSR_KAFKA_ZZZ", "3")
    with pytest.raises(Misconfigured) as refusal:
        Settings()
    assert str(refusal.value) == (
        "DSR_KAFKA_ZZZ is no setting: unset it;"
        " DSR_WORK_BATHC is no setting: did you mean DSR_WORK_BATCH? otherwise unset it"
    )


def test_what_is_complete_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DSR_TELEMETRY_LOG_LEVEL", "debug")
    environment.setenv("DSR_TELEMETRY_OTLP_ENDPOINT", "")
    settings = Settings()
    assert (settings.http.port, settings.telemetry.log_level, settings.telemetry.otlp_endpoint) == (8080, "DEBUG", None)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "DSR_HTTP_PORT",
            "",
            "DSR_HTTP_PORT is not set: set it to a whole number from 1 up to 65535 (port to listen on)",
        ),
        ("DSR_HTTP_PORT", "http", "DSR_HTTP_PORT holds 'http': set it to a whole number from 1 up to 65535 (port"),
        ("DSR_HTTP_PORT", "0", "DSR_HTTP_PORT holds '0': set it to a whole number from 1 up to 65535"),
        ("DSR_HTTP_PORT", "70000", "DSR_HTTP_PORT holds '70000': set it to a whole number from 1 up to 65535"),
        ("DSR_HTTP_LINGER_SECONDS", "-1", "holds '-1': set it to a number from 0 up to 3600 (how long after SIGTERM"),
        ("DSR_WORK_BATCH", "0", "DSR_WORK_BATCH holds '0': set it to a whole number from 1 up to 10000 (tasks of one"),
        ("DSR_WORK_BATCH", "-3", "DSR_WORK_BATCH holds '-3': set it to a whole number"),
        ("DSR_WORK_LEASE_SECONDS", "-15", "DSR_WORK_LEASE_SECONDS holds '-15': set it to a number from 0.5"),
        ("DSR_WORK_POLL_SECONDS", "nan", "DSR_WORK_POLL_SECONDS holds 'nan': set it to a number"),
        ("DSR_WORK_POLL_SECONDS", "inf", "DSR_WORK_POLL_SECONDS holds 'inf': set it to a number"),
        (
            *("DSR_WORK_BACKOFF_MAX_SECONDS", "0.1"),
            "DSR_WORK_BACKOFF_MAX_SECONDS holds 0.1, less than DSR_WORK_BACKOFF_SECONDS: set it to 0.5 or more",
        ),
        (
            "DSR_PROCESS_STILL_SECONDS",
            "0",
            "DSR_PROCESS_STILL_SECONDS holds '0': set it to a number above 0 up to 86400",
        ),
        (
            *("DSR_PROCESS_GIVE_UP_SECONDS", "10"),
            "DSR_PROCESS_GIVE_UP_SECONDS holds 10.0, less than DSR_PROCESS_STILL_SECONDS: set it to 60.0 or more",
        ),
        (
            *("DSR_TELEMETRY_PRIVACY_TOKEN", "short"),
            "DSR_TELEMETRY_PRIVACY_TOKEN holds something else, which is not shown: set it to a value (32 random",
        ),
        ("DSR_KAFKA_BATCH_RECORDS", "0", "DSR_KAFKA_BATCH_RECORDS holds '0': set it to a whole number from 1"),
        ("DSR_KAFKA_BOOTSTRAP", "kafka:0", "DSR_KAFKA_BOOTSTRAP holds 'kafka:0': set it to a value (host:port of one"),
        ("DSR_KAFKA_BOOTSTRAP", "a:9092,b:70000", "DSR_KAFKA_BOOTSTRAP holds 'a:9092,b:70000'"),
        ("DSR_KAFKA_SECURITY_PROTOCOL", "TLS", "holds 'TLS': set it to PLAINTEXT or SSL or SASL_PLAINTEXT or SASL_SSL"),
        ("DSR_KAFKA_CA_FILE", "/nowhere/ca.crt", "holds '/nowhere/ca.crt': set it to the path of a file that is there"),
        ("DSR_POSTGRES_POOL_SIZE", "1", "DSR_POSTGRES_POOL_SIZE holds '1': set it to a whole number from 2"),
        ("DSR_VAULT_KEYRING", "/nowhere.json", "DSR_VAULT_KEYRING holds '/nowhere.json': set it to the path of a file"),
        ("DSR_TELEMETRY_LOG_LEVEL", "LOUD", "holds 'LOUD': set it to DEBUG or INFO or WARNING or ERROR (the least"),
        ("DSR_TELEMETRY_SAMPLE_RATIO", "2", "DSR_TELEMETRY_SAMPLE_RATIO holds '2': set it to a number from 0 up to 1"),
        ("DSR_CLOCK_FILE", __file__, "DSR_CLOCK_FILE moves due dates: unset it, or set DSR_ENVIRONMENT to test"),
        ("DSR_TELEMETRY_OTLP_ENDPOINT", "collector:4318", "DSR_TELEMETRY_OTLP_ENDPOINT holds 'collector:4318': set it"),
    ],
)
def test_unusable_value_names_its_remedy(environment: pytest.MonkeyPatch, variable: str, value: str, said: str) -> None:
    environment.setenv(variable, value)
    with pytest.raises(Misconfigured) as refused:
        Settings()
    assert said in str(refused.value)
    assert variable in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dsn", ["dsr", "mysql://u:known-to-two@db/dsr", "postgresql://u:known-to-two@db:70000/dsr"])
def test_of_a_secret_what_is_wrong_is_said_and_never_what_it_holds(environment: pytest.MonkeyPatch, dsn: str) -> None:
    environment.setenv("DSR_POSTGRES_DSN", dsn)
    with pytest.raises(Misconfigured) as refused:
        Settings()
    assert str(refused.value) == (
        "DSR_POSTGRES_DSN holds something else, which is not shown:"
        " set it to a value (postgresql:// URL of the database that holds the platform's own schemas)"
    )


def test_the_password_of_the_database_does_not_show_when_settings_are_printed() -> None:
    assert "known-to-two" not in repr(PostgresSettings(dsn="postgresql://u:known-to-two@db/dsr"))


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://db",
        "postgresql:///dsr?host=/run/postgresql",
        "postgresql://u:p%40@[::1]:5432/d",
        "postgresql://a:1,b:2/d",
    ],
)
def test_every_form_of_a_database_url_is_taken(dsn: str) -> None:
    assert PostgresSettings(dsn=dsn).dsn == dsn


def test_all_mistakes_are_reported_together(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DSR_WORK_BATCH", "0")
    environment.setenv("DSR_HTTP_PORT", "0")
    environment.delenv("DSR_KAFKA_BOOTSTRAP")
    with pytest.raises(Misconfigured) as refused:
        Settings()
    assert re.findall(r"DSR_\w+", str(refused.value)) == ["DSR_KAFKA_BOOTSTRAP", "DSR_HTTP_PORT", "DSR_WORK_BATCH"]


def test_missing_policy_file_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSR_POLICY_TIME_LIMITS", "/nowhere/limits.toml")
    with pytest.raises(
        Misconfigured, match=r"^DSR_POLICY_TIME_LIMITS holds '/nowhere/limits.toml': set it to the path"
    ):
        PolicySettings()


NO_FILES = {
    "no text": b"\xff\xfe\x00",
    "nothing": b"",
    "a list": b"[]",
    "an object": b"{}",
    "no end": b"a = " + b"[" * 5000,
    "a number without end": b"a = " + b"9" * 5000,
    "a NUL": b'a = "\x00"',
    "no day": b"a = 1979-13-45",
    "other keys": b"a = 1",
}
READERS: dict[str, Callable[[Path], object]] = {
    "keyring": keyring.load,
    "time limits": read_policy,
    "identity": lambda path: read_toml(path, IdentityPolicy),
    "downstreams": lambda path: file.read(path, {}),
    "dataset": lambda path: Dataset.load(str(path)),
}


@pytest.mark.parametrize("content", NO_FILES.values(), ids=NO_FILES.keys())
@pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())
def test_broken_file_is_named_in_one_line(tmp_path: Path, read: Callable[[Path], object], content: bytes) -> None:
    file = tmp_path / "file.toml"
    file.write_bytes(content)
    with pytest.raises(Misconfigured) as refused:
        read(file)
    assert str(file) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            'controller_zone = "America/Denver"',
            'controller_zone = "Nowhere/Else"',
            "commitment.controller_zone: 'Nowh",
        ),
        (
            'AT = "Europe/Vienna"',
            'AT = "../etc"',
            "capital_zones.AT: '../etc' is no time zone; write one as Europe/Berlin",
        ),
        ("last_notice_working_days = 2", "last_notice_working_days = 10000000000", "less than or equal to 10000"),
        ("reminder_days = [7, 14]", "reminder_days = [7, 0]", "suspension.reminder_days.1"),
        ("hours = 48", "hours = -48", "greater than 0"),
    ],
)
def test_policy_without_computable_dates_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = TIME_LIMITS.read_text()
    assert old in text
    (tmp_path / "limits.toml").write_text(text.replace(old, new))
    with pytest.raises(Misconfigured) as refused:
        read_policy(tmp_path / "limits.toml")
    assert said in str(refused.value)


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1", "\u00e9" * 70, "a" * 300])
def test_unusable_host_is_reported_with_its_variable(host: str) -> None:
    with pytest.raises(Misconfigured, match=r"^DSR_HTTP_HOST and DSR_HTTP_PORT hold .* set them to a free one$"):
        bound(HttpSettings(host=host, port=18999))


def test_a_file_that_is_no_certificate_is_said_by_its_variable() -> None:
    settings = KafkaSettings(bootstrap="b:9093", security_protocol="SSL", ca_file=Path(__file__))
    with pytest.raises(Misconfigured, match=r"^DSR_KAFKA_CA_FILE holds '.*test_configuration.py': name a PEM file$"):
        settings.client()


@pytest.mark.parametrize(("group", "name"), NUMBERS, ids=lambda each: getattr(each, "__name__", each))
def test_every_number_has_a_least_and_a_greatest(group: type[BaseModel], name: str) -> None:
    limits: set[str] = {
        limit
        for each in group.model_fields[name].metadata
        for limit in ("ge", "gt", "le", "lt")
        if getattr(each, limit, None) is not None
    }
    assert limits & {"ge", "gt"}
    assert limits & {"le", "lt"}
    assert group.model_config.get("allow_inf_nan") is False


@pytest.mark.parametrize("group", OF_A_PROCESS)
def test_every_setting_of_a_process_says_what_it_is_for(group: type[Group]) -> None:
    assert all(info.description for info in group.model_fields.values())


def test_a_group_takes_values_as_a_test_gives_them() -> None:
    given: dict[str, Any] = {"downstreams": "none", "batch": 0}
    with pytest.raises(Misconfigured, match="DSR_WORK_BATCH holds 0: set it to a whole number"):
        WorkSettings.model_validate(given)


@pytest.mark.parametrize("content", ["a = { b = 1 }", "a = 1"])
def test_where_a_file_must_have_a_list_it_is_said_how_one_is_written(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.toml").write_text(content)
    with pytest.raises(Misconfigured, match=r"x\.toml: a.* must be a list: write it in \[ \]"):
        read_toml(tmp_path / "x.toml", dict[str, tuple[int, ...]])


# What is done periodically costs a bounded share of the time and outlives an outage; pauses grow and have a limit.
SETTINGS = WorkSettings(downstreams=Path("none"), backoff_seconds=1, backoff_max_seconds=60)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        monkeypatch.setattr("time.monotonic", runner.get_loop().time)
        yield runner


@pytest.mark.parametrize(("takes", "times", "share"), [(0.5, 10, 20), (0.0, 100, 1), (1.5, 10, 1), (1.5, 10, 0)])
def test_long_run_lengthens_the_pause(runner: asyncio.Runner, takes: float, times: int, share: int) -> None:
    stopping, heartbeats, begun = asyncio.Event(), Heartbeats(limit_seconds=2), list[float]()

    async def do() -> None:
        assert heartbeats.stalled() == []
        begun.append(asyncio.get_running_loop().time())
        if len(begun) == times:
            stopping.set()
        await asyncio.sleep(takes)

    runner.run(run_periodically(do, "test", 1.0, stopping, heartbeats, share=share))
    pauses = {round(after - before - takes, 3) for before, after in pairwise(begun)}
    assert pauses == {max(1.0, share * takes)}


@pytest.mark.parametrize(("took", "pause"), [(0.0, 0.0), (0.01, 0.0), (0.04, 0.06), (7.0, 0.1)])
def test_slow_small_batches_gather_for_a_moment(runner: asyncio.Runner, took: float, pause: float) -> None:
    runner.run(gather(took, asyncio.Event()))
    assert round(runner.get_loop().time(), 6) == pause


def test_stopped_loop_leaves_nothing_behind(runner: asyncio.Runner) -> None:
    stopping = asyncio.Event()
    stopping.set()
    runner.run(gather(7.0, stopping))
    assert runner.get_loop().time() == 0


def test_an_outage_is_waited_out_and_what_is_periodic_comes_again(runner: asyncio.Runner) -> None:
    stopping, times = asyncio.Event(), 0

    async def do() -> None:
        nonlocal times
        times += 1
        if times == 3:
            stopping.set()
        raise ConnectionResetError

    runner.run(run_periodically(do, "test", 0.001, stopping, Heartbeats()))
    assert times == 3


def pauses(attempt: int) -> list[timedelta]:
    return [backoff(attempt, SETTINGS) for _ in range(300)]


@pytest.mark.parametrize(("attempt", "longest"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (50, 60), (10_000, 60)])
def test_the_pause_doubles_up_to_its_limit(attempt: int, longest: float) -> None:
    assert max(pauses(attempt)) <= timedelta(seconds=longest)
    assert max(pauses(attempt)) > timedelta(seconds=longest * 0.8)


@pytest.mark.parametrize("attempt", [1, 5, 50])
def test_a_pause_is_never_shorter_than_half_the_first(attempt: int) -> None:
    assert min(pauses(attempt)) >= timedelta(seconds=0.5)


def test_many_tasks_do_not_come_back_at_the_same_moment() -> None:
    assert len(set(pauses(5))) > 250


# A process ends with a line that says why: a loop that ends unasked, or a policy that cannot be used.
async def returns() -> None:
    """A loop that simply comes to its end."""


async def is_cancelled_from_within() -> None:
    """A loop through which a library lets the cancellation of a task of its own pass."""
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


async def is_cancelled_as_if_asked() -> None:
    """A loop whose task counts a request to cancel it, as a TaskGroup of Python 3.11 leaves one behind."""
    loop = asyncio.current_task()
    assert loop is not None
    loop.cancel()
    await asyncio.sleep(60)


async def waits(event: asyncio.Event) -> None:
    """Waits until it is stopped."""
    await event.wait()


@pytest.mark.parametrize("ends", [returns, is_cancelled_from_within, is_cancelled_as_if_asked])
async def test_unexpected_end_of_a_loop_ends_the_others_and_names_it(
    ends: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    never = asyncio.Event()
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(60):
            await supervise({"consume:intake": ends(), "relay": waits(never)}, never, 1)
    assert [type(error) for error in raised.value.exceptions] == [LoopEnded]
    assert [
        record.getMessage().partition(" ")[0] for record in caplog.records if record.levelno == logging.CRITICAL
    ] == ["consume:intake"]


@pytest.mark.parametrize("ends", [returns, is_cancelled_from_within, is_cancelled_as_if_asked])
async def test_a_loop_may_end_once_the_service_is_stopping(
    ends: Callable[[], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    stopping = asyncio.Event()
    stopping.set()
    await supervise({"consume:intake": ends()}, stopping, 10)
    assert caplog.records == []


async def test_stalled_loop_is_measured_and_beyond_the_limit_ends_its_process(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    heartbeats, stood, never = Heartbeats(), {"consume:intake": 180.0, "relay": 0.0}, asyncio.Event()
    monkeypatch.setattr(heartbeats, "stalled_seconds", lambda: stood)
    monkeypatch.setattr("shared.app.supervisor._LOOK_EVERY_SECONDS", 0.001)
    watching = asyncio.create_task(watch(ServiceName.INTAKE, heartbeats, 180, never))
    still = partial(comes_to, name="dsr_loop_stalled_seconds", service="intake")
    assert await still(180, loop="consume:intake")
    assert await still(0, loop="relay")
    assert not watching.done()
    stood["consume:intake"] = 181.0
    with pytest.raises(LoopEnded, match="consume:intake"):
        await watching
    assert "consume:intake has stood still for 181 s" in caplog.text


class HungPool:
    """A pool that has no connection for anybody, ever."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[None]:
        """Waits for ever."""
        await asyncio.Event().wait()
        yield


async def test_a_relay_that_hangs_before_it_has_gone_round_once_is_seen() -> None:
    heartbeats = Heartbeats()
    relay = Relay(cast("Any", HungPool()), ServiceName.ERASURE, AsyncMock(), Wakeup())
    hanging = asyncio.create_task(relay.run(asyncio.Event(), heartbeats))
    await asyncio.sleep(0)
    assert heartbeats.stalled_seconds().keys() == {"relay"}
    hanging.cancel()


@pytest.mark.parametrize(
    ("name", "read"), [("intake", "intake.events.handlers.LetterFacts"), ("deadline", "deadline.__main__.Deadlines")]
)
def test_unusable_policy_ends_the_service(name: str, read: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = importlib.import_module(f"services.{name}.__main__")

    def cannot_be_used(*_: object) -> None:
        raise Misconfigured("the policy cannot be used:\n  days\n    is not a number")

    monkeypatch.setattr(f"services.{read}", cannot_be_used)
    with pytest.raises(SystemExit) as ended:
        main.service.run(main.configure)
    assert ended.value.code == f"dsr-{name} cannot start; the policy cannot be used: days is not a number"


@pytest.mark.parametrize(
    ("name", "variable", "may_hold"),
    [
        ("deadline", "DSR_DEADLINE_DIGEST_HOUR", "a whole number from 0 up to 23"),
        ("intake", "DSR_INTAKE_WAITING", "a whole number from 2000 up to 1000000"),
    ],
)
def test_a_setting_of_a_service_of_its_own_ends_it_with_one_line_too(
    name: str, variable: str, may_hold: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = importlib.import_module(f"services.{name}.__main__")
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(SystemExit) as ended:
        main.service.run(main.configure)
    assert str(ended.value.code).startswith(f"dsr-{name} cannot start; {variable} holds '-1': set it to {may_hold} (")


def test_old_name_of_a_setting_warns(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("DSR_DEADLINE_POLICY", "time_limits.toml")
    monkeypatch.setattr("shared.app.service.Settings", lambda: SimpleNamespace(telemetry=None))
    monkeypatch.setattr("shared.runtime.telemetry.start_logging", lambda _: None)
    monkeypatch.setattr("uvloop.run", lambda loops: loops.close())
    for setting in ("gc", "sys.setswitchinterval"):  # which all tests after this would run by
        monkeypatch.setattr(f"shared.app.service.{setting}", Mock())
    Service("erasure").run()
    assert "DSR_DEADLINE_POLICY is the old name of DSR_POLICY_TIME_LIMITS" in caplog.text
