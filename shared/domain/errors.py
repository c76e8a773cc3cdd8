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
    """An answer broke off or cannot be read: the system is away, or a person must look where it is always so."""


class Overtaken(Unavailable):
    """A later attempt, or a later operation of the same request, has been at the store: this one changes nothing."""


@dataclass(frozen=True, slots=True)
class DoneBefore:
    """The rows that a task changed before it failed.

    ``reported``: so the system says, and nobody has verified it.
    """

    found: int
    changed: int
    remaining: int = 0
    reported: bool = False


class Refused(DsrError):
    """The downstream system will not do it as asked; ``code`` says why in a word, the message in a sentence.

    ``done_before``: what had been changed all the same. ``states``: which states last by which others may have to keep
    something, where it tells them; None: it should be known, and is not. ``found``: of a dry run, the rows by category
    of which none would go while this is so, where they were counted; ``unsigned``: what the rules speak of that nobody
    has signed, of each rule: once all are signed, the task goes on by itself.
    """

    done_before: DoneBefore | None = None
    states: Mapping[str, bool | None] | None = None
    found: Mapping[str, int] | None = None
    unsigned: tuple[Kept, ...] = ()


class SystemRefused(Refused):
    """The system as a whole is at fault, or what is declared of it: every task of it would be refused alike."""


class SignInRefused(SystemRefused):
    """The system does not let us in, or does not let us do this: check the user, its password and its rights."""


class TableMissing(SystemRefused):
    """A table that the dataset declares does not exist: an empty search there would prove nothing."""


class ColumnUnmapped(SystemRefused):
    """A table has a column that the dataset does not classify, so what it holds about people is unknown."""


class AnswerMalformed(Refused):
    """The answer of the system is larger, deeper or of another form than agreed; none of it was used."""


class NotSupported(Refused):
    """The system has no way to do this: do it there by hand, and enter what was done.

    ``manual_steps``: how, with ids of the subject's records; they go to the vault, and nowhere else.
    """

    def __init__(self, message: str = "", manual_steps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.manual_steps = tuple(manual_steps)


class ForeignHit(Refused):
    """The system's search returned people who are not the subject; nothing was done to anybody."""


class SeveralPeople(ForeignHit):
    """Several people hold what is known of the subject, as an address of a household; nothing was done to anybody."""


class ResidueFound(Refused):
    """The system reported success, and looking again still found the subject."""


class BlastRadius(Refused):
    """The task would touch more people or rows than the configured limit; nothing was done.

    ``exceeded``: which limit, and by how much; without it nobody can confirm that more may be touched.
    """

    def __init__(self, message: str, exceeded: Exceeded | None = None) -> None:
        super().__init__(message)
        self.exceeded = exceeded


class RuleUnsigned(BlastRadius):
    """A rule without a valid sign-off would keep rows: nothing was done, and they go once two persons confirm it."""


class GroundInvalid(Refused):
    """A system keeps data on a ground that is no signed rule of the policy: they stay until a person has decided."""


class GroundUnknown(Refused):
    """A system does not tell whether data must stay: nothing goes, there or elsewhere, until somebody has looked."""


class ErasureOpposed(Refused):
    """A legal hold, or a restriction that the person asked for, keeps what a withdrawn consent would erase."""


class KeyGone(Refused):
    """The subject's key was shredded before the task was worked: there is nobody left to search for."""


class SystemQuarantined(Refused):
    """Nothing is done in the system until a person has accepted it; the task goes on by itself when it is on again."""


class SystemRetired(Refused):
    """The system was retired, and the task still needs it."""


class Withdrawn(Refused):
    """The request was withdrawn while the task was worked: no further step is taken, and nobody needs to look."""


class IllegalTransition(DsrError):
    """A request was asked to go from one state to another that the lifecycle does not allow."""


class Shredded(DsrError):
    """The subject's key was destroyed after closure; what it sealed cannot be read by anyone."""


class UnknownKey(DsrError):
    """Something was sealed under a key that the keyring does not hold; add the retired key back to the file."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was configured: where it stands, and what to write instead.

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

    ``faults``: everything that is wrong with it, each by itself.
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
