"""Every setting has its limits, and what is wrong with one is a line: its name, what it holds, what it may hold."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from services.deadline.settings import DeadlineSettings
from services.intake.settings import IntakeSettings
from shared.app.http import bound
from shared.domain.configuration import Group
from shared.domain.errors import Misconfigured
from shared.domain.identity_rules import IdentityPolicy
from shared.domain.time_limit_policy import TIME_LIMITS, read_policy
from shared.domain.toml_file import read_toml
from shared.downstreams import file
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.settings import SqlSettings
from shared.downstreams.tryton.settings import TrytonSettings
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
    """What a service needs and nothing else."""
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_variable_that_is_misspelt_stops_the_start_and_the_old_name_of_one_does_not(
    environment: pytest.MonkeyPatch,
) -> None:
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
        ("DSR_TELEMETRY_OTLP_ENDPOINT", "collector:4318", "DSR_TELEMETRY_OTLP_ENDPOINT holds 'collector:4318': set it"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_variable_what_it_holds_and_what_it_may_hold(
    environment: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
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


def test_everything_that_is_wrong_is_said_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DSR_WORK_BATCH", "0")
    environment.setenv("DSR_HTTP_PORT", "0")
    environment.delenv("DSR_KAFKA_BOOTSTRAP")
    with pytest.raises(Misconfigured) as refused:
        Settings()
    assert re.findall(r"DSR_\w+", str(refused.value)) == ["DSR_KAFKA_BOOTSTRAP", "DSR_HTTP_PORT", "DSR_WORK_BATCH"]


def test_a_file_of_the_policy_that_is_not_there_is_said_by_the_variable_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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
def test_whatever_stands_in_a_file_is_said_in_a_line_that_names_the_file(
    tmp_path: Path, read: Callable[[Path], object], content: bytes
) -> None:
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
            'controller_zone = "America/New_York"',
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
def test_a_policy_from_which_no_date_could_be_counted_is_refused_at_the_start(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    text = TIME_LIMITS.read_text()
    assert old in text
    (tmp_path / "limits.toml").write_text(text.replace(old, new))
    with pytest.raises(Misconfigured) as refused:
        read_policy(tmp_path / "limits.toml")
    assert said in str(refused.value)


@pytest.mark.parametrize("host", ["no such host", "256.1.1.1", "\u00e9" * 70, "a" * 300])
def test_a_host_where_nobody_can_listen_is_said_with_its_variable(host: str) -> None:
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
    with pytest.raises(Misconfigured, match=r"x\.toml:1: a.* must be a list: write it in \[ \]"):
        read_toml(tmp_path / "x.toml", dict[str, tuple[int, ...]])
