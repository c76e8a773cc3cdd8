"""Defines how a SQL store is reached, and the limits of one request."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from shared.domain.rights import TENANT
from shared.systems.settings import LimitedSettings

Tenant = Annotated[str, StringConstraints(pattern=f"^{TENANT}$")]
Value = Annotated[str, StringConstraints(min_length=1, max_length=255)]
SHIPPED = Path(__file__).parents[2] / "policy" / "datasets"


def path_of(dataset: str) -> Path:
    """The file of a dataset: of one that ships with the product by its name, else a path."""
    return Path(dataset) if dataset.endswith(".toml") else SHIPPED / f"{dataset}.toml"


class SqlSettings(LimitedSettings):
    """The table of a downstream with ``adapter = "sql"``."""

    adapter: Literal["sql"] = "sql"
    dsn_env: str = Field(description="environment variable that holds the connection string")
    dataset: str = Field(description="name of a dataset that ships with the product, or path of a TOML file")
    namespace: str = Field(
        default="public",
        description="schema of the tables; of a MariaDB, its database, which the connection string names",
    )
    connections: int = Field(default=4, ge=1, le=100, description="connections at most")
    rounds: int = Field(default=5, ge=1, le=100, description="how often rows that keep arriving are chased")
    timeout_seconds: float = Field(
        default=60.0, gt=0, le=3_600, description="how long one statement that only reads may take"
    )
    ours: tuple[Value, ...] = Field(
        default=(), description="what the dataset's tenant columns hold in rows of our own customers"
    )
    tenants: Mapping[Tenant, Annotated[tuple[Value, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="by tenant, what they hold in its rows, as { acme = ['sip.acme.example'] }"
    )
    max_people: int = Field(default=1, ge=1, le=1_000, description="people that one request may touch")

    @model_validator(mode="after")
    def _each_row_is_ones(self) -> Self:
        values = Counter(value.lower() for own in (self.ours, *self.tenants.values()) for value in {*own})
        if shared := sorted(value for value, owners in values.items() if owners > 1):
            raise ValueError(f"{shared[0]} is declared of two; a row is one tenant's, or ours")
        return self
