"""Defines how a Roundup tracker is reached, and the limits of one request."""

from typing import Annotated, Literal

from pydantic import Field, HttpUrl, StringConstraints

from shared.systems.settings import HttpSettings

Role = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9 _-]{0,63}$")]


class RoundupSettings(HttpSettings):
    """A table ``adapter = "roundup"`` of the downstreams file."""

    adapter: Literal["roundup"] = "roundup"
    url: Annotated[HttpUrl, Field(description="where the tracker is; the same as its own setting [tracker] web")]
    user: str = Field(default="privacy", description="the tracker's user with the role Privacy")
    password_env: str = Field(description="environment variable that holds that user's password")
    staff_roles: tuple[Role, ...] = Field(
        default=(),
        description="roles of the tracker that only those have who answer tickets: what they write on a person's ticket"
        " is about that person; without any, all that others wrote is left as it is and counted",
    )
    resolved_on: Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]{0,62}$")] | None = Field(
        default=None,
        description="field of a ticket (a Date) with the time of its resolution, from which the policy counts for how"
        " long tickets are kept; left out: none ends",
    )
    max_people: int = Field(
        default=3, ge=1, le=1_000, description="a subject who is more users of the tracker stops and asks"
    )
    max_rows: int = Field(
        default=2_000, ge=1, le=1_000_000_000, description="an erasure that would touch more records stops and asks"
    )
    timeout_s: float = Field(default=30, gt=0, le=3_600, description="how long it may be silent while it answers")
    parallel: int = Field(default=4, ge=1, le=64, description="calls under way at a time; as many as it has workers")

    @property
    def rounds(self) -> int:
        """Returns the most rounds of searching for records that keep arriving."""
        return 5
