"""Settings, read once from the environment when a service starts and passed down; one small group per concern."""

import ssl
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, FilePath, SecretStr, model_validator

from shared.domain.clock import AheadClock, Clock, SystemClock
from shared.domain.configuration import Group, are_hosts, shown
from shared.domain.errors import Misconfigured, all_of, of_variable
from shared.domain.policy import OVERLAY, Policy
from shared.domain.policy import read_policy as read_processing_policy
from shared.domain.time_limit_policy import TIME_LIMITS, TimeLimitPolicy, read_policy
from shared.storage.postgres import PostgresSettings

OLD_TIME_LIMITS = "DSR_DEADLINE_POLICY"
"""The former name of ``DSR_POLICY_TIME_LIMITS``, which is still read."""


def _of_hosts(text: str) -> str:
    if not are_hosts(text):
        raise ValueError("no list of hosts and ports")
    return text


class KafkaSettings(Group, prefix="DSR_KAFKA_"):
    """The connection to the broker; ``DSR_KAFKA_…``."""

    bootstrap: Annotated[str, AfterValidator(_of_hosts)] = Field(
        description="host:port of one or more brokers, comma-separated"
    )
    batch_records: int = Field(default=500, ge=1, le=100_000, description="records of one poll and transaction")
    record_bytes: int = Field(
        default=1024 * 1024, ge=1024, le=16 * 1024 * 1024, description="largest record that is handled"
    )
    unpacked_bytes: int = Field(
        default=16 * 1024 * 1024, ge=1024 * 1024, le=256 * 1024 * 1024, description="largest batch, unpacked"
    )
    dead_letters_a_day: int = Field(
        default=100, ge=1, le=1_000_000, description="most dead letters of a topic a day; then it pauses"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="protocol of the broker; SASL_SSL in production"
    )
    sasl_mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="how the password is proved"
    )
    username: str | None = Field(default=None, description="the service's own user at the broker")
    password: SecretStr | None = Field(default=None, description="that user's password")
    ca_file: FilePath | None = Field(default=None, description="PEM file of who signed the broker's certificate")

    def client(self) -> dict[str, Any]:
        """The arguments that every client of the broker takes alike: where it is, encryption and user.

        Raises:
            Misconfigured: half of what proves the user is missing, or the file of the authority is none.
        """
        arguments: dict[str, Any] = {"bootstrap_servers": self.bootstrap, "security_protocol": self.security_protocol}
        if self.security_protocol.endswith("SSL"):
            try:
                arguments["ssl_context"] = ssl.create_default_context(cafile=self.ca_file)
            except OSError:
                raise Misconfigured(f"DSR_KAFKA_CA_FILE holds {shown(str(self.ca_file))}: name a PEM file") from None
        if self.security_protocol.startswith("SASL"):
            if self.username is None or self.password is None:
                raise Misconfigured(f"{self.security_protocol} needs DSR_KAFKA_USERNAME and DSR_KAFKA_PASSWORD")
            user = {"sasl_plain_username": self.username, "sasl_plain_password": self.password.get_secret_value()}
            arguments |= {"sasl_mechanism": self.sasl_mechanism, **user}
        return arguments


class HttpSettings(Group, prefix="DSR_HTTP_"):
    """The HTTP server of a service: health, metrics, and intake's API; ``DSR_HTTP_…``."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(ge=1, le=65_535, description="port to listen on")
    linger_seconds: float = Field(
        default=10.0, ge=0, le=3_600, description="how long after SIGTERM connections are accepted"
    )
    connections: int = Field(default=512, ge=1, le=100_000, description="connections at a time, without probes")
    head_bytes: int = Field(default=16 * 1024, ge=1024, le=2**20, description="longest request line and headers")
    unread_bytes: int = Field(default=2**20, ge=0, le=2**30, description="most that is read of a body after its answer")
    head_seconds: float = Field(default=10.0, gt=0, le=3600, description="how long a request's headers may take")
    body_seconds: float = Field(default=30.0, gt=0, le=3600, description="how long its body may take")
    answer_seconds: float = Field(
        default=60.0, gt=0, le=3600, description="how long a client may take to read an answer"
    )


class VaultSettings(Group, prefix="DSR_VAULT_"):
    """The vault's keys; ``DSR_VAULT_…``."""

    keyring: FilePath = Field(description="JSON file of keys, made by `dsr key new`")


class WorkSettings(Group, prefix="DSR_WORK_"):
    """Settings of tasks; ``DSR_WORK_…``."""

    downstreams: Path = Field(description="TOML file that declares the downstream systems")
    batch: int = Field(default=300, ge=1, le=10_000, description="tasks of one system and operation claimed at a time")
    lease_seconds: float = Field(default=3.0, ge=0.5, le=60, description="lease of the tasks of a silent process")
    poll_seconds: float = Field(
        default=0.25, ge=0.01, le=60, description="how often to look for tasks without a wake-up"
    )
    backoff_seconds: float = Field(default=0.5, ge=0.01, le=3_600, description="first pause after an outage; doubles")
    backoff_max_seconds: float = Field(default=300.0, ge=0.01, le=86_400, description="longest such pause")
    quarantine_seconds: float = Field(
        default=900.0,
        ge=0,
        le=604_800,
        description="wait before a request may be answered without a quarantined system",
    )

    sweep_seconds: float = Field(default=60.0, ge=0.1, le=3_600, description="how often to look for retention work")

    @model_validator(mode="after")
    def _pauses_grow(self) -> Self:
        first, longest = self.backoff_seconds, self.backoff_max_seconds
        if longest < first:
            holds = f"DSR_WORK_BACKOFF_MAX_SECONDS holds {longest}, less than DSR_WORK_BACKOFF_SECONDS"
            raise ValueError(f"{holds}: set it to {first} or more")
        return self


class PolicySettings(Group, prefix="DSR_POLICY_"):
    """The company's policy files; ``DSR_POLICY_…``."""

    time_limits: FilePath = Field(
        default=TIME_LIMITS,
        validation_alias=AliasChoices("DSR_POLICY_TIME_LIMITS", OLD_TIME_LIMITS),
        description="TOML file of the time limits",
    )

    overlay: Path | None = Field(
        default=None, description="folder of the company's own policy files, which override those shipped"
    )

    def read_processing(self) -> Policy:
        """Settings of the policy: what is held, why, how long, and who gets it.

        Raises:
            Misconfigured: a file cannot be used; says what to change.
        """
        return of_variable(OVERLAY, partial(read_processing_policy, self.overlay))

    def read_time_limits(self) -> TimeLimitPolicy:
        """The policy of time limits.

        Raises:
            Misconfigured: the file cannot be used; says what to change.
        """
        return of_variable("DSR_POLICY_TIME_LIMITS", partial(read_policy, self.time_limits))


class TelemetrySettings(Group, prefix="DSR_TELEMETRY_"):
    """Metrics, traces and logs; ``DSR_TELEMETRY_…``."""

    otlp_endpoint: str | None = Field(
        default=None, pattern=r"^https?://[^\s/]+", description="base URL of an OTLP/HTTP collector"
    )
    sample_ratio: float = Field(default=0.1, ge=0, le=1, description="share of new traces that are recorded")
    privacy_token: SecretStr | None = Field(
        default=None,
        min_length=32,
        description="32 random characters or more that open /metrics/privacy, where requests are counted exactly; none:"
        " it does not exist",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(str.upper)] = Field(
        default="INFO", description="the least that is logged"
    )


class ProcessSettings(Group, prefix="DSR_PROCESS_"):
    """When a loop counts as stalled, and how long a shutdown may take; ``DSR_PROCESS_…``."""

    still_seconds: float = Field(
        default=60.0, gt=0, le=86_400, description="stalled loops fail the liveness probe after this"
    )
    give_up_seconds: float = Field(
        default=180.0, gt=0, le=86_400, description="stalled loops end the process after this"
    )
    drain_seconds: float = Field(
        default=30.0, gt=0, le=3_600, description="how long work in hand may take after SIGTERM"
    )
    outbox_seconds: float = Field(default=20.0, gt=0, le=3_600, description="how long sending the outbox may take then")

    @model_validator(mode="after")
    def _is_unwell_before_it_ends(self) -> Self:
        if self.give_up_seconds < self.still_seconds:
            holds = f"DSR_PROCESS_GIVE_UP_SECONDS holds {self.give_up_seconds}, less than DSR_PROCESS_STILL_SECONDS"
            raise ValueError(f"{holds}: set it to {self.still_seconds} or more")
        return self


class ClockSettings(Group, prefix="DSR_CLOCK_"):
    """Which clock a service goes by; ``DSR_CLOCK_…``."""

    file: FilePath | None = Field(default=None, description="file with the seconds to add to the clock; tests only")
    environment: Literal["production", "test"] = Field(
        default="production", validation_alias="DSR_ENVIRONMENT", description="test allows a shifted clock"
    )

    @model_validator(mode="after")
    def _is_a_test(self) -> Self:
        if self.file and self.environment == "production":
            raise ValueError("DSR_CLOCK_FILE moves due dates: unset it, or set DSR_ENVIRONMENT to test")
        return self

    def clock(self) -> Clock:
        """The machine's clock, or the shifted one of a test."""
        return AheadClock(self.file) if self.file else SystemClock()


class Groups:
    """Groups of settings that are read together: one for each annotation of the class."""

    def __init__(self) -> None:
        """Reads the environment; raises ``Misconfigured``, which names every variable that is missing or wrong."""
        groups = get_type_hints(type(self))
        vars(self).update(zip(groups, all_of(groups.values()), strict=True))


class Settings(Groups):
    """All groups of one process."""

    postgres: PostgresSettings
    kafka: KafkaSettings
    http: HttpSettings
    vault: VaultSettings
    work: WorkSettings
    policy: PolicySettings
    telemetry: TelemetrySettings
    process: ProcessSettings
    clock: ClockSettings
