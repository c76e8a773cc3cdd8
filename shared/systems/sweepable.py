"""What a system must be able to do whose data end by themselves, for everybody: the nightly sweep."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, Protocol, runtime_checkable
from zoneinfo import ZoneInfo

from shared.domain.errors import DsrError, Refused
from shared.systems.contract import Task

Then = Literal["delete", "anonymise"]


@dataclass(frozen=True, slots=True)
class Dated:
    """A table whose rows have an age: in which column each beginning stands, by the policy's word for it.

    ``tells_countries``: whether its rows say which country's law they are under.
    """

    table: str
    category: str
    anchors: Mapping[str, str]
    tells_countries: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows are due and stay for no reason, of how many in the table.

    ``undetermined``: of that age, and nobody can tell whether they are under the law of the country: they stay.
    """

    due: int
    rows: int
    undetermined: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """What of a table is past a ceiling: each row whose ``anchor`` lies before a local day, which is the first kept.

    ``about``: how many rows that are, as they were counted. ``country``: of those alone that are known to be under its
    law; None: of all.
    """

    table: str
    anchor: str
    then: Then
    first_kept: date
    zone: ZoneInfo
    about: int = field(default=0, compare=False)
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did: rows gone (or without their people now); rows ``spared``.

    ``spared``: for whom they are about, or since an erasure would be refused in the state that they are in.
    ``complete``: every row that was due went by statements that leave none of their time, so that nobody needs to look.
    """

    gone: int
    spared: int
    complete: bool = field(default=False, compare=False)


Spared = Mapping[str, Sequence[Task]]
"""By category, as the system calls it, the tasks of whose subjects the rows stay."""


class SweepStopped(DsrError):
    """The sweep is not to go on: its process ends, or another one has its turn; what is done is done."""


GoOn = Callable[[Due, int], Awaitable[None]]
"""Told before each step, and after it how many rows it has removed; raises ``SweepStopped`` where none may follow."""


@runtime_checkable
class Sweepable(Protocol):
    """Can tell how much of it is past a ceiling, and let that go, whoever it is about (Art. 5(1)(e)).

    ``count`` changes nothing. ``sweep`` works what is due in the order that the system needs, in steps that hold their
    locks for a bounded time; a repeat goes on where it was stopped. A table that cannot be swept stops no other.
    """

    @property
    def dated(self) -> Sequence[Dated]: ...

    async def count(self, due: Sequence[Due], spared: Spared) -> Sequence[Counted | Refused]: ...

    async def sweep(self, due: Sequence[Due], spared: Spared, go_on: GoOn) -> Sequence[Swept | Refused]: ...
