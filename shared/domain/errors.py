"""The failures of the platform, by name.

DsrError
├── Unavailable               try again later: the system is away, slow or busy
│   ├── Collided              somebody else holds a row of a SQL store
│   ├── AnswerUnreadable      an answer broke off, or is none; again and again it is malformed
│   ├── Later                 the system says for how long it is to be left alone
│   ├── Overtaken             a later attempt or operation of the request has been at the store
│   └── ApiAway               intake's API was away, or too busy, for as long as a command waits
├── Refused                   final: a person must look
│   ├── SystemRefused         whatever the task: the system as a whole, or how it is declared, is at fault
│   │   ├── TableMissing      a declared table is not there
│   │   ├── ColumnUnmapped    a table has a column that nobody classified
│   │   ├── DatasetOutdated   a dataset no longer describes its store
│   │   ├── RuleUndeclared    the policy keeps or anonymises what a table holds, and its dataset does not say how
│   │   ├── StoreUnprepared   a SQL store lacks the table in which our work is noted
│   │   └── SignInRefused     it does not let us in, or does not let us do this
│   ├── AnswerMalformed       a system's answer is larger, deeper or of another form than agreed
│   ├── GroundInvalid         a system keeps data on a ground that is no signed rule of the policy
│   ├── GroundUnknown         a system does not tell whether data must stay: nothing goes until somebody has looked
│   ├── ErasureOpposed        a hold or a restriction of theirs keeps what a withdrawn consent would erase
│   ├── AssignmentInDoubt     whose a number was at a time cannot be told
│   ├── ReleaseBlocked        a row of what was collected is not shown to be the subject's
│   ├── ForeignHit            the search returned people who are not the subject
│   │   └── SeveralPeople     several people may be the subject: the customer number would tell
│   ├── ErasureRefused        a record is in a state in which nothing of the subject may be erased
│   ├── ResidueFound          the system said yes, and the data is still there
│   ├── BlastRadius           more people or rows than one request may touch
│   │   └── RuleUnsigned      a rule that is not signed would keep rows: they go once two persons have confirmed it
│   ├── NotSupported          the system holds the data, and has no way to do this: a person does it by hand
│   │   └── CannotLookAgain   it was told to, and shows nobody whether it did
│   ├── Withdrawn             the subject no longer wants it, and said so while it was worked
│   ├── SystemQuarantined     the system is quarantined, for so long that a person may answer without it
│   ├── SystemRetired         the system was retired, and the task needs it
│   ├── KeyGone               the subject's key was shredded before the task was worked
│   ├── CrmRefused            the CRM refused, and said why
│   ├── MalformedReply        a team's reply cannot be read
│   ├── SignatureWrong        an OpenDSR answer is not signed by its processor
│   └── UnforeseenError       an adapter broke on the task in a way that nobody foresaw
├── LeaseLost                 another worker has taken the task over
├── Moved                     what was collected has changed while it was packed; it is packed anew
├── BusAway                   the broker did not acknowledge in time; sent again later
├── MessageRefused            the broker refuses a message for good; it is parked
├── TooMuchLost               a reading would take more from the register of assignments than is believed
├── SweepStopped              the nightly sweep is not to go on: its process ends, or another has its turn
├── TurnLost                  another process does for all what this one did
├── Stalled                   a consumer stands still; a new one takes its place
├── Unreadable                a record from the bus that cannot be read, or is too large; it is stepped over
├── LoopEnded                 a loop ended or stood still though nobody told it to; the process ends
├── IllegalTransition         a request cannot go from this state to that one
├── MalformedIdentity         what somebody is said to be known by cannot be right
├── TokenMalformed, TokenForged, TokenExpired      an identity token opens nothing
├── MalformedResult           what a team has uploaded is no copy of anything
├── BadRequest, Unauthorised, Forbidden, NotFound, IdempotencyKeyReused, TooLarge, NotReady, Withheld, Expired,
├── ExtensionRefused, SamePerson, ResultGiven,
├── PreconditionRequired, PreconditionFailed, TooManyCalls, Overloaded, UnsupportedType,
├── RangeNotSatisfiable, FormExpired, NotProved, NotSignedIn, ProviderAway
│                             what intake answers to a client that must change or repeat its request
├── EventRefused              what another service has told of a user takes no effect; it is set aside by name
│   ├── MalformedEvent        it cannot be read: which field is wrong
│   ├── NotDeclared           the file of emitters does not let it say that
│   ├── OrderUnknown          it tells of a number in another partition than the first
│   ├── SubjectUnknown, SubjectExpired, SubjectUsed, SubjectOfAnother      its subject token is good for nothing
│   ├── EventIdReused         its source has sent another event under its id
│   ├── SubjectUnfit          the identities behind the token are not those that it needs
├── RegisterUnfilled          a number is told of, and nobody has filled the register
├── Shredded                  the key is gone, and what it sealed with it
├── UnknownKey                sealed under a key that this keyring does not hold
├── ApiRefused                intake's API refuses what a command asks for, and says why
├── StillOpen                 a request that is followed is not closed in the time that one would wait
├── DecisionUnclear           what was typed is no decision of the API, or lacks a field
├── Died                      an examined worker was killed on purpose (conformance)
└── Misconfigured             the configuration cannot be used; says what to change
    └── SeedFailed            a system under examination could not be filled as its table declares
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

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
    """What was done of a task before it failed, in rows.

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
    """What the system answered is larger, deeper or of another form than was agreed; nothing in it was believed."""


class NotSupported(Refused):
    """The system has no way to do this: do it there by hand, and enter what was done.

    ``manual_steps``: how, with ids of the subject's records; they go to the vault, and nowhere else.
    """

    def __init__(self, message: str = "", manual_steps: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.manual_steps = tuple(manual_steps)


class CannotLookAgain(NotSupported):
    """The system was told to, and shows nobody whether it did: look there by hand, and enter what was done."""

    code: ClassVar[str] = NotSupported.code


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
    """A rule without a valid sign-off would keep rows: nothing was done, and they go once two persons confirm it.

    ``again``: the day after which more of the subject may go by other rules, where anything does.
    """

    again: date | None = None


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

    ``place``: the table and the key, as ``tables.calls.columns.began``; ``line`` counts from 1; ``under``: the setting
    or the table that names the file.
    """

    says: str
    file: str = ""
    line: int | None = None
    place: str = ""
    under: str = ""

    def __str__(self) -> str:
        file = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (self.under, file, self.place, self.says)))


class Misconfigured(DsrError):
    """A setting or configuration file cannot be used; the message says which and what to change.

    ``faults``: everything that is wrong with it, each by itself.
    """

    def __init__(self, *faults: str | Fault) -> None:
        self.faults = tuple(Fault(fault) if isinstance(fault, str) else fault for fault in faults)
        super().__init__("; ".join(map(str, self.faults)))
