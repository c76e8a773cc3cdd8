"""The failures of the platform, by name: each says in its docstring what happened, and what follows from it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from shared.domain.operations import Exceeded, Kept


class DsrError(Exception):
    """Anything that the platform itself raises; the message never holds personal data.

    ``code``: the name of the class in snake case, unless the class gives another.
    """

    code: ClassVar[str] = "dsr_error"

    def __init_subclass__(cls) -> None:
        cls.code = cls.__dict__.get("code", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower())


class Unavailable(DsrError):
    """The downstream system could not be reached or was too busy; the task is tried again with backoff."""


class AnswerUnreadable(Unavailable):
    """The system's answer broke off or cannot be read; if it happens every time, an officer must look."""


class Overtaken(Unavailable):
    """A later attempt or operation of the same request reached the store first; this one changes nothing."""


@dataclass(frozen=True, slots=True)
class DoneBefore:
    """The rows that a task changed before it failed.

    ``reported``: the counts come from the system and were not verified.
    """

    found: int
    changed: int
    remaining: int = 0
    reported: bool = False


class Refused(DsrError):
    """The downstream system refuses the task; ``code`` gives the reason, the message explains it.

    ``done_before``: what was changed before. ``states``: states that may make other systems keep data; None means
    unknown. ``found``: rows by category that a dry run counted and that all stay. ``unsigned``: unsigned rules that
    cover these rows; the task continues once all are signed.
    """

    done_before: DoneBefore | None = None
    states: Mapping[str, bool | None] | None = None
    found: Mapping[str, int] | None = None
    unsigned: tuple[Kept, ...] = ()


class SystemRefused(Refused):
    """The system or its declaration is wrong, so every task of it would be refused."""


class SignInRefused(SystemRefused):
    """The system rejects our user: check the user, its password and its rights."""


class TableMissing(SystemRefused):
    """A table that the dataset declares does not exist: an empty search there would prove nothing."""


class ColumnUnmapped(SystemRefused):
    """A table has a column that the dataset does not classify, so its personal data are unknown."""


class AnswerMalformed(Refused):
    """The system's answer is larger, deeper or of another form than agreed; none of it was used."""


class NotSupported(Refused):
    """The system cannot do this: an officer does it by hand and enters the result.

    ``manual_steps``: instructions with ids of the subject's records; stored in the vault only.
    """

    def __init__(self, message: str = "", manual_steps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.manual_steps = tuple(manual_steps)


class WrongPersonMatch(Refused):
    """The system's search returned people other than the subject; nothing was changed."""


class SeveralPeople(WrongPersonMatch):
    """Several people share the subject's identities, such as a household's address; nothing was changed."""


class DataStillPresent(Refused):
    """The system reported success, but a second search still found the subject."""


class LimitExceeded(Refused):
    """The task would change more people or rows than the configured limit; nothing was changed.

    ``exceeded``: which limit, and by how much; needed to confirm a higher limit.
    """

    def __init__(self, message: str, exceeded: Exceeded | None = None) -> None:
        super().__init__(message)
        self.exceeded = exceeded


class RuleUnsigned(LimitExceeded):
    """An unsigned rule would keep rows; nothing was changed, and dual approval erases them."""


class GroundInvalid(Refused):
    """A system keeps data on a ground without a signed rule; they stay until an officer decides."""


class GroundUnknown(Refused):
    """A system does not report whether data must stay; nothing is erased anywhere until an officer decides."""


class ErasureOpposed(Refused):
    """A legal hold or a requested restriction keeps data that a withdrawn consent would erase."""


class KeyGone(Refused):
    """The subject's key was destroyed before the task ran, so the subject cannot be searched for."""


class SystemQuarantined(Refused):
    """The system is paused until an officer accepts it; then the task continues."""


class SystemRetired(Refused):
    """The system was retired, and the task still needs it."""


class Withdrawn(Refused):
    """The request was withdrawn while the task ran; it stops here and needs no review."""


class IllegalTransition(DsrError):
    """A request was asked to go from one state to another that the lifecycle does not allow."""


class Shredded(DsrError):
    """The subject's key was destroyed after closure, so the sealed data are unreadable."""


class UnknownKey(DsrError):
    """Something was sealed under a key that the keyring does not hold; add the retired key back to the file."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A configuration fault: its place, and what to write instead.

    ``place``: the table and the key, as ``tables.calls.columns.began``; ``under``: the setting or the table that names
    the file.
    """

    says: str
    file: str = ""
    place: str = ""
    under: str = ""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.under, self.file, self.place, self.says)))


class Misconfigured(DsrError):
    """A setting or configuration file cannot be used; the message says which and what to change.

    ``faults``: everything that is wrong with it, one by one.
    """

    def __init__(self, *faults: str | Fault) -> None:
        self.faults = tuple(Fault(fault) if isinstance(fault, str) else fault for fault in faults)
        super().__init__("; ".join(map(str, self.faults)))


T = TypeVar("T")


def of_variable(variable: str, read: Callable[[], T]) -> T:
    """Returns what it reads.

    Raises:
        Misconfigured: as it says, and names the variable that says where to read.
    """
    try:
        return read()
    except Misconfigured as error:
        raise Misconfigured(*(replace(fault, under=_above(variable, fault)) for fault in error.faults)) from error


def _above(variable: str, fault: Fault) -> str:
    return f"{variable}: {fault.under}" if fault.under else variable


def all_of(reads: Iterable[Callable[[], T]]) -> list[T]:
    """Returns what each of them reads.

    Raises:
        Misconfigured: says what is wrong with any of them, not with the first alone.
    """
    done: list[T] = []
    faults: list[Fault] = []
    for read in reads:
        try:
            done.append(read())
        except Misconfigured as error:
            faults += error.faults
    if faults:
        raise Misconfigured(*faults)
    return done
