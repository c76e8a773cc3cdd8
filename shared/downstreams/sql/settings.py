"""How a SQL store is reached, and how much of it one request may touch."""

from typing import Literal

from pydantic import Field

from shared.downstreams.settings import LimitedSettings


class SqlSettings(LimitedSettings):
    """The table of a downstream with ``adapter = "sql"``."""

    adapter: Literal["sql"] = "sql"
    dsn_env: str = Field(description="environment variable that holds the connection string")
    dataset: str = Field(description="name of a dataset that ships with the product, or path of a TOML file")
    namespace: str = Field(default="public", description="PostgreSQL schema of the tables")
    connections: int = Field(default=4, ge=1, le=100, description="connections at most")
    lock_seconds: float = Field(
        default=0.5, gt=0, le=60, description="how long one statement may hold locks (a time budget)"
    )
    rounds: int = Field(default=5, ge=1, le=100, description="how often rows that keep arriving are chased")
    timeout_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="how long one statement that only reads may take"
    )
    max_people: int = Field(default=1, ge=1, le=1_000, description="people that one request may touch")
