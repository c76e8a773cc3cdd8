"""Rows of other services that the privacy team decides about: systems, nightly retention runs, disputed numbers.

A model names its table, and its fields are the columns; the actions in `actions.stopped` decide.
"""

from collections.abc import Sequence
from datetime import date
from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, Field

from services.intake.core.errors import NotFound
from services.intake.core.schemas import Instant
from shared.domain.assignments import ConflictKind
from shared.storage.postgres import Connection
from shared.storage.systems import CHANGED

MOST = 1000
"""Rows of a list, at most."""


class Row(BaseModel):
    """A row of ``TABLE``, found by the column ``KEY``; ``WHERE`` and ``ORDER`` make the list."""

    TABLE: ClassVar[str]
    KEY: ClassVar[str]
    ORDER: ClassVar[str]
    WHERE: ClassVar[str] = "true"
    GONE: ClassVar[str]
    """Message where there is no such row."""

    @classmethod
    async def listed(cls, connection: Connection) -> Sequence[Self]:
        """Returns every row of the list."""
        return await cls._found(connection, f"{cls.WHERE} ORDER BY {cls.ORDER} LIMIT {MOST}")

    @classmethod
    async def read(cls, connection: Connection, key: object) -> Self:
        """Returns the row of that key; raises ``NotFound``."""
        found = await cls._found(connection, f"{cls.WHERE} AND {cls.KEY} = $1", key)
        if not found:
            raise NotFound(cls.GONE)
        return found[0]

    @classmethod
    async def _found(cls, connection: Connection, criteria: str, *values: object) -> Sequence[Self]:
        query = f"SELECT {', '.join(cls.model_fields)} FROM {cls.TABLE} WHERE {criteria}"  # noqa: S608  # constants
        return [cls(**row) for row in await connection.fetch(query, *values)]


class KnownSystem(Row):
    """The state of a system."""

    TABLE, KEY, ORDER = "downstreams.system", "name", "name"
    GONE = "no service knows a system of that name"

    name: str
    state: Literal["observe", "on", "quarantined", "retired"]
    reason: str | None = Field(
        description="why it is quarantined. `changed`: its declaration differs from the accepted one, and its operator"
        " looks into that (`dsr downstreams on`)"
    )
    since: Instant

    @property
    def may_be_released(self) -> bool:
        """Whether two people may enable it: its declaration is the accepted one."""
        return self.state == "quarantined" and self.reason != CHANGED


class Sweep(Row):
    """The state of one maximum retention in one table after the last night."""

    TABLE, KEY, ORDER = "downstreams.sweep", "sweep_id", "system, table_name, ceiling"
    GONE = "no sweep of that id: each night counts again, so look at the list again"

    sweep_id: UUID = Field(description="of this count: another night has another one")
    system: str
    table_name: str
    ceiling: str = Field(description="its name in the policy")
    category: str
    action: Literal["delete", "anonymise"]
    state: Literal["unsigned", "no_country", "dry_run", "stopped", "sweeping", "swept", "failed"] = Field(
        description="`dry_run`: new or shortened, so it was only counted; `stopped`: more than the policy's share, so"
        " two people must confirm it; `unsigned`: without a valid sign-off nothing is touched; `no_country`: a"
        " maximum by another country's law than ours, and the table does not say which rows are under it: the same"
    )
    night: date
    period: str
    first_kept: date = Field(description="what began on an earlier day is past")
    due: int = Field(description="rows past the ceiling that nothing keeps, when it was counted")
    of_rows: int = Field(description="rows of the table, about")
    gone: int
    spared: int = Field(description="rows past it that a restriction, a legal hold or a state of the row keeps")
    missed: int = Field(description="rows past the ceiling for more than a day that are still there")
    undetermined: int = Field(
        description="rows past a maximum by another country's law that do not say which country's law they are under:"
        " they stay until what is for everybody"
    )
    reason: str | None = Field(description="why it failed")
    confirmed_by: list[str] = Field(description="the two people who have approved it")


class AssignmentConflict(Row):
    """A contradiction: a system links a number to the subject for a time in which the register does not."""

    TABLE, KEY, ORDER, WHERE = "register.conflict", "conflict_id", "noticed_at", "settled_at IS NULL"
    GONE = "no conflict of that id is open: it may be settled"

    conflict_id: UUID
    request_id: UUID = Field(description="the last request that has met it: its subject's number is meant")
    system: str = Field(description="which system says so")
    valid_from: Instant = Field(description="from when the system says that the number was the subject's")
    valid_to: Instant | None = Field(description="until when, exclusive; null: it still is")
    kind: ConflictKind = Field(
        description="what the register says of that time: `another_holder`, or nothing (`not_in_register`)"
    )
    noticed_at: Instant
    settled_at: Instant | None
    settled_by: str | None = Field(description="the holder of the key that has said that the register is right")
