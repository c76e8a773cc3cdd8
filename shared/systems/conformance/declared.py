"""The table ``[SYSTEM.conformance]`` of the downstreams file: how test subjects come into a system, and leave it."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.operations import Change

_Argument = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SeedMethod(_Declared):
    """Seeds or cleans the system, in one of these ways.

    ``command``: run without a shell, with the person as JSON on standard input; it prints the number of rows made, or
    nothing. ``sql``: statements for a SQL store, one row each. Both may name ``{email}``, ``{phone}``,
    ``{account_id}``, ``{sip_uri}``, ``{name}`` and ``{key}``.
    """

    command: tuple[_Argument, ...] = Field(default=(), description="a program and its arguments")
    sql: tuple[_Argument, ...] = Field(default=(), description="statements, with {email} and so on for values")
    dsn_env: Variable | None = Field(default=None, description="of whom they are run as, if not as our own user")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if bool(self.command) == bool(self.sql):
            raise ValueError("write command or sql")
        return self


class Correction(_Declared):
    """A field that is corrected, and its new value."""

    field: Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)?$", max_length=64)]
    asserted: _Argument

    @property
    def change(self) -> Change:
        """The same, as a subject asks for it."""
        return Change(field=self.field, asserted=self.asserted)


class Conformance(_Declared):
    """Configures ``dsr conformance`` for a system."""

    seed: SeedMethod = Field(description="lets the system hold something about an invented person")
    shared: SeedMethod | None = Field(
        default=None, description="lets it hold a row of two people: the other is {other_email} and so on"
    )
    sweep: SeedMethod | None = Field(
        default=None, description="removes all whose {key} begins so, when a run has ended"
    )
    rectify: Correction | None = Field(default=None, description="a field to correct, such as name, and its new value")
    within_s: float = Field(
        default=120, gt=0, le=86_400, description="how long a task may take, and what is erased to go"
    )

    @property
    def change(self) -> Change | None:
        """Returns the correction to make."""
        return self.rectify.change if self.rectify else None

    @property
    def within(self) -> timedelta:
        """Returns the time that a task may take."""
        return timedelta(seconds=self.within_s)
