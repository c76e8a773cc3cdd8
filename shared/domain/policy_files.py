"""Describes four small files of the policy: answers, suppression, sweep and assignments; one model for each."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.domain.rights import Right
from shared.domain.text import Word
from shared.domain.toml_file import read_toml, read_with_ours

FOLDER = Path(__file__).parents[1] / "policy"
Code = Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")]
Article = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?(\([0-9a-z]{1,2}\)){0,2}$")]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnswerReason(_File):
    """A reason, its articles, and the rights it applies to; its words are ``reason.…`` of the letters.

    ``owed``: the missing part is still to be done.
    """

    articles: Annotated[tuple[Article, ...], Field(min_length=1)]
    rights: frozenset[Right] = frozenset(Right)
    owed: bool = False


class AnswerReasons(_File):
    """Reasons to refuse a request, to answer it in part, and to end a part of it."""

    refuse: Mapping[Code, AnswerReason]
    answer_in_part: Mapping[Code, AnswerReason]
    end_part: Mapping[Code, AnswerReason]


class SuppressionPolicy(_File):
    """``erasure``: whether the contact points of an erased person are suppressed like those of an objection."""

    erasure: bool


class SweepPolicy(_File):
    """When the retention run begins, how much it may remove without approval, and which restrictions it spares.

    ``copied_within_days``: for how long after proof it spares data of which a copy was requested and is not made yet.
    """

    begins_at_hour: Annotated[int, Field(ge=0, le=23)]
    share: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    few: Annotated[int, Field(ge=0, le=100_000)]
    spares: frozenset[Word]
    copied_within_days: Annotated[int, Field(ge=0, le=30)]

    def is_too_much(self, due: int, rows: int) -> bool:
        """Returns whether removing so many rows in one night needs dual approval."""
        return due > self.few and due > self.share * rows

    def night(self, local: datetime) -> datetime:
        """Returns the midnight that names the night of this local time."""
        begins = timedelta(hours=self.begins_at_hour)
        return (local - begins).replace(hour=0, minute=0, second=0, microsecond=0)


class Differences(_File):
    """When two systems contradict each other; ``edge_hours``: shorter differences are ignored."""

    edge_hours: Annotated[int, Field(ge=0, le=24 * 31)]

    @property
    def edge(self) -> timedelta:
        """The tolerance between two systems that note the same change of holder."""
        return timedelta(hours=self.edge_hours)


class Readings(_File):
    """The losses up to which a reading is accepted: a number, or a share."""

    lost_anyway: Annotated[int, Field(ge=0, le=1_000_000)]
    most_lost_share: Annotated[float, Field(ge=0, le=1)]

    def most_lost(self, known: int) -> int:
        """Returns how many of the known assignments a reading may lose."""
        return max(self.lost_anyway, int(known * self.most_lost_share))


class AssignmentsPolicy(_File):
    """The policy of the register of assignments."""

    differences: Differences
    readings: Readings


@cache
def suppression_policy(overlay: Path | None = None) -> SuppressionPolicy:
    """Returns the policy, with the company's own file in that folder over it; raises ``Misconfigured``."""
    return read_with_ours(FOLDER / "suppression.toml", SuppressionPolicy, overlay)


@cache
def sweep_policy(overlay: Path | None = None) -> SweepPolicy:
    """Returns the policy, with the company's own file in that folder over it; raises ``Misconfigured``."""
    return read_with_ours(FOLDER / "sweep.toml", SweepPolicy, overlay)


def assignments_policy(path: Path = FOLDER / "assignments.toml") -> AssignmentsPolicy:
    """Returns the policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, AssignmentsPolicy)
