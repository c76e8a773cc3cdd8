"""Defines what a system needs for the nightly retention run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from shared.domain.errors import DsrError, Refused
from shared.systems.contract import Task

CeilingAction = Literal["delete", "anonymise"]


@dataclass(frozen=True, slots=True)
class DatedPlace:
    """A place with dated rows: the column of each anchor, by the policy's name.

    ``tells_countries``: rows show which country's law applies.
    """

    table: str
    category: str
    anchors: Mapping[str, str]
    tells_countries: bool = False


@dataclass(frozen=True, slots=True)
class DueCount:
    """Number of rows due and not exempt, and of all rows.

    ``undetermined``: due rows of an unknown country, which stay.
    """

    due: int
    rows: int
    undetermined: int = 0


@dataclass(frozen=True, slots=True)
class DueRecords:
    """Rows of a place past a ceiling: their ``anchor`` is before the first local day to be kept.

    ``about``: their number as counted. ``country``: only rows known to be under its law; None: all rows.
    """

    table: str
    anchor: str
    then: CeilingAction
    first_kept: date
    zone: ZoneInfo
    about: int = field(default=0, compare=False)
    country: str | None = None


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Result of a retention run: rows deleted or anonymised; rows ``exempt``.

    ``exempt``: rows of exempt people, or in a state that forbids erasure. ``complete``: no due row can be left, so no
    second look is needed.
    """

    removed: int
    exempt: int
    complete: bool = field(default=False, compare=False)


Exemptions = Mapping[str, Sequence[Task]]
"""Tasks of exempt subjects, by category."""


class SweepStopped(DsrError):
    """The run must stop: its process ends, or another one has the lease. Finished steps stay."""


SweepStep = Callable[[DueRecords, int], Awaitable[None]]
"""Called before each step, and after it with the number of rows removed; raises ``SweepStopped`` to end the run."""


@runtime_checkable
class Sweepable(Protocol):
    """Counts and deletes data past a ceiling, of all people (Art. 5(1)(e)).

    ``count`` changes nothing. ``sweep`` works in steps with bounded lock times; a repeat continues. A place that fails
    stops no other.
    """

    @property
    def dated(self) -> Sequence[DatedPlace]: ...

    async def count(self, due: Sequence[DueRecords], exempt: Exemptions) -> Sequence[DueCount | Refused]: ...

    async def sweep(
        self, due: Sequence[DueRecords], exempt: Exemptions, report_step: SweepStep
    ) -> Sequence[SweepResult | Refused]: ...
