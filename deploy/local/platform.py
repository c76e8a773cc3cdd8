"""The servers that the product stands on: our own PostgreSQL and Kafka, or those that exist already."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from deploy.local.kafka import Kafka
from deploy.local.postgres import Postgres
from deploy.local.server import side_by_side


@dataclass(frozen=True)
class ExistingServers:
    """Servers to use instead of our own: PostgreSQL 15 or later, whose user may make databases, and Apache Kafka 4."""

    postgres_dsn: str | None = field(default_factory=partial(os.environ.get, "DSR_POSTGRES_DSN"))
    kafka_bootstrap: str | None = field(default_factory=partial(os.environ.get, "DSR_KAFKA_BOOTSTRAP"))


class Platform:
    """PostgreSQL and Kafka together, with their data below `directory`; entering blocks until both are ready.

        with Platform(LOCAL / "demo") as platform:
            platform.postgres_dsn, platform.kafka_bootstrap

    `postgres` and `kafka` are None where an existing server is used.
    """

    def __init__(self, directory: Path, existing: ExistingServers | None = None) -> None:
        self._existing = existing or ExistingServers()
        self.postgres = None if self._existing.postgres_dsn else Postgres(directory / "postgres")
        self.kafka = None if self._existing.kafka_bootstrap else Kafka(directory / "kafka")
        self._servers = [server for server in (self.postgres, self.kafka) if server is not None]

    @property
    def postgres_dsn(self) -> str:
        """Returns the address of the product's database."""
        return self.postgres.dsn if self.postgres else str(self._existing.postgres_dsn)

    @property
    def kafka_bootstrap(self) -> str:
        """Returns the address of the broker."""
        return self.kafka.bootstrap if self.kafka else str(self._existing.kafka_bootstrap)

    def __enter__(self) -> Self:
        try:
            side_by_side(*(server.start for server in self._servers))
        except BaseException:  # if one fails, the other is stopped too
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        side_by_side(*(server.stop for server in self._servers))
