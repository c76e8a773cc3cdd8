"""The table of a team that works its own store and is reached over the bus."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.domain.operations import Limit, Operation
from shared.systems.bus.messages import Word
from shared.systems.contract import Task

DeclaredOperation = Literal[
    Operation.ERASE, Operation.EXPORT, Operation.RECTIFY, Operation.RESTRICT, Operation.SUPPRESS, Operation.PLAN
]
Correctable = Annotated[str, Field(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=64)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,62}$")]
SHOWN = frozenset({"A", "C", "M"})
"""The classes of what its subject is shown."""


class BusSettings(BaseModel):
    """A table ``adapter = "bus"`` of the downstreams file."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    adapter: Literal["bus"] = "bus"
    operations: frozenset[DeclaredOperation] = Field(
        default=frozenset({Operation.ERASE}),
        min_length=1,
        description="what the team does: erase, export, rectify, restrict (and lift), suppress; a person does the rest."
        " plan: it says before an erasure what that would find and leave, or why it would refuse",
    )
    fields: Mapping[FieldName, Literal["A", "B", "C", "M", "T"]] = Field(
        default={}, description="the class of each field of an exported row, as of a dataset's columns"
    )
    explain: Mapping[FieldName, str] = Field(
        default={}, description="the meaning of each shown field, for the reader of a copy"
    )
    rectifies: frozenset[Correctable] = Field(
        default=frozenset(),
        max_length=12,
        description="fields that the team can correct, such as email; it receives only these",
    )
    max_rows: int = Field(
        default=100_000, ge=1, le=1_000_000_000, description="a team that finds more rows than this does nothing"
    )
    tenants: bool = Field(
        default=False,
        description="true: the team tells the data of our customers apart, and touches those alone that a task names",
    )
    periods: bool = Field(
        default=False,
        description="true: the team finds only rows in the period of an identity; else it gets none that has ended",
    )
    asks_before_marketing: bool = Field(
        default=False,
        description="true: each night, and before each mailing, the team asks `POST /v1/suppression/check` about"
        " everybody whom it would mail",
    )
    grounds: frozenset[Word] = Field(
        default=frozenset(), description="grounds on which the team may keep data, as the privacy team has agreed"
    )
    reasons: frozenset[Word] = Field(
        default=frozenset(), description="reasons for a refusal that are shown; of any other it is said that it is one"
    )
    claim_hours: int = Field(default=72, ge=1, le=720, description="how long a token opens the identities")
    ask_again_s: float = Field(
        default=5, gt=0, le=86_400, description="first pause before a task is sent again; doubles"
    )
    ask_again_max_s: float = Field(default=21_600, gt=0, le=604_800, description="longest such pause")

    @model_validator(mode="after")
    def _claims_outlive_the_pause(self) -> Self:
        if self.claim_hours * 3600 <= self.ask_again_max_s:
            raise ValueError("claim_hours must be longer than ask_again_max_s, or a team waits with an expired claim")
        return self

    @model_validator(mode="after")
    def _says_what_an_operation_needs(self) -> Self:
        if Operation.EXPORT in self.operations and not SHOWN.intersection(self.fields.values()):
            raise ValueError('export needs fields: write the class of each field of a row, as fields = { email = "A" }')
        if Operation.PLAN in self.operations and Operation.ERASE not in self.operations:
            raise ValueError("plan says what an erasure would do: add erase")
        if Operation.RECTIFY in self.operations and not self.rectifies:
            raise ValueError('rectify needs rectifies: write what the team can correct, as rectifies = ["email"]')
        if strange := sorted(self.explain.keys() - self.shown):
            raise ValueError(f"explain.{strange[0]} is no field of class A, C or M, so it is never shown")
        return self

    @property
    def worked(self) -> frozenset[Operation]:
        """Returns the team's operations; a team that restricts also lifts."""
        declared: frozenset[Operation] = frozenset(self.operations)
        return declared | {Operation.LIFT} if Operation.RESTRICT in declared else declared

    @property
    def shown(self) -> frozenset[str]:
        """The fields of an exported row that its subject is shown."""
        return frozenset(name for name, kind in self.fields.items() if kind in SHOWN)

    def most_rows(self, task: Task) -> int:
        """Returns the limit of rows for a task."""
        return max(self.max_rows, task.confirmed.get(Limit.MAX_ROWS, 0))
