"""What the company has decided of the register of assignments: which differences count, and which readings."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[1] / "policy" / "assignments.toml"

_STRICT = ConfigDict(frozen=True, extra="forbid")


class Differences(BaseModel):
    """When two systems contradict one another; ``edge_hours``: what is shorter is no difference."""

    model_config = _STRICT

    edge_hours: Annotated[int, Field(ge=0, le=24 * 31)]

    @property
    def edge(self) -> timedelta:
        """How far apart two systems may note the same change of holder."""
        return timedelta(hours=self.edge_hours)


class Readings(BaseModel):
    """How many assignments a reading may lose, at the least and as a share, and still be believed."""

    model_config = _STRICT

    lost_anyway: Annotated[int, Field(ge=0, le=1_000_000)]
    most_lost_share: Annotated[float, Field(ge=0, le=1)]

    def most_lost(self, known: int) -> int:
        """How many of the assignments that the register has from its source a reading may lose."""
        return max(self.lost_anyway, int(known * self.most_lost_share))


class AssignmentsPolicy(BaseModel):
    """The policy of the register of assignments."""

    model_config = _STRICT

    differences: Differences
    readings: Readings


def assignments_policy(path: Path = POLICY) -> AssignmentsPolicy:
    """The policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, AssignmentsPolicy)
