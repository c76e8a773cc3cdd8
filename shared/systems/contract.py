"""What a downstream system must be able to do, and what it answers.

Every operation takes a sequence of tasks and returns one result for each, in the same order:

    Receipt      it was done and looked at again
    NotSearched  nothing that is known of the subject can be searched by here, so nothing was done or found out
    Pending      the system works on it; ask again later
    Unavailable  it could not be reached or was busy: the engine retries with backoff
    Refused      it will never work as asked; a person must look (subclasses name why)

Raising ``Unavailable`` or ``SystemRefused`` instead of returning it says the same of every task of the call. After any
other ``Refused``, or an error that nobody foresaw, the call is made again by halves, until the task to blame is alone;
after an outage that comes again and again as well. So a repeat of a task id must have no second effect and give the
same counts as the first, and what was committed for one task is never undone or denied because of another.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import Refused, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, Kept, Operation, TaskOutcome, TaskReport, Uncounted, Unsearched
from shared.domain.release import Match
from shared.domain.rights import Level
from shared.domain.topics import Message

States = Mapping[str, bool | None]
"""Whether states last for which rules of the policy keep, by what the policy calls them; None: that is not known."""
Publish = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends records and returns once the broker has them all (``Producer.send``), or raises a ``DsrError``."""


@dataclass(slots=True)
class Task:
    """One operation on one system for one request.

    ``identities`` are the subject's own, and ``changes`` what they want corrected, opened from the vault; ``details``
    is what the operation needs besides (for ``restrict``: ``{"ground"}``; for ``escalate``: ``{"level", "due_on",
    "right"}``, with ``escalate_to`` the roles to be told, ``target_on`` if a target was missed, ``lines`` if it is
    about many requests, and for the level ``resolved`` the ``outcome``; for ``flag``: ``{"open"}``; for ``rectify`` the
    ``zone`` in which times are shown to them). ``progress``: what earlier attempts noted. ``subject_ref`` points into
    the vault. ``turn``: when its operation was opened (µs), and its stage. ``confirmed``: how much two persons have, by
    limit.
    ``tenant``: the customer of ours in whose data alone it looks for anybody; None: in ours alone. ``not_theirs``:
    for a repair, numbers of which the register says that they were somebody else's all of the time.
    ``at``: the instant at which it is worked, by the clock of the service.
    ``level``: how well each of the identities is proved at least; a name only checks a hit. ``held``: what of the
    system's categories an erasure leaves as it is, since a legal hold covers it. ``states``: by which rules of the
    policy may keep something of it, and that other systems tell: whether each lasts, None where nobody could say.
    ``beside``: what is known of the subject and finds no rows: it tells whose those are that something else has found.
    """

    task_id: UUID
    request_id: UUID
    subject_ref: UUID
    system: str
    operation: Operation
    identities: tuple[Identity, ...] = ()
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    attempt: int = 1
    progress: Mapping[str, JsonValue] = field(default_factory=dict)
    due_on: date | None = None
    changes: tuple[Change, ...] = ()
    turn: tuple[int, int] = (0, 0)
    confirmed: Mapping[str, int] = field(default_factory=dict)
    tenant: str | None = None
    not_theirs: tuple[Identity, ...] = ()
    level: Level = "L0"
    at: datetime | None = None
    held: frozenset[str] = frozenset()
    states: States = field(default_factory=dict)
    beside: tuple[Identity, ...] = ()

    @property
    def known(self) -> tuple[Identity, ...]:
        """All that is known of the subject: also that by which nobody is searched."""
        return (*self.identities, *self.beside)

    @property
    def token(self) -> tuple[int, int, int]:
        """Grows with each attempt and with each operation of the request: where a greater one was, this is too late."""
        return (*self.turn, self.attempt)

    @property
    def repair(self) -> bool:
        """Whether nobody asked anew: what the register says is to be set right where it is not, and that counted."""
        return bool(self.details.get("repair"))

    @property
    def stops_marketing(self) -> bool:
        """Whether it ends marketing and nothing else, or locates for that: by the address, whoever reads it."""
        return self.operation is Operation.SUPPRESS or bool(self.details.get(STOPS_MARKETING))

    @property
    def leads_on(self) -> bool:
        """Whether an address or a number that a row tells of the subject is followed to other rows.

        Whoever objects has said by what, and what stands in their row may be another's too (Art. 21(3)).
        """
        return self.repair or not (self.stops_marketing or self.details.get(BY_STATED))

    @property
    def marked(self) -> bool:
        """Whether it takes away only what bears the mark of its request: where nothing is marked, that is nothing."""
        return bool(self.details.get("marked"))

    @property
    def round(self) -> int:
        """How often it was tried anew by a person after a refusal; what is then sent must not be taken for a repeat."""
        noted = self.progress.get("round")
        return noted if isinstance(noted, int) else 0


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that a system holds about the subject, readable by the subject.

    ``portable``: provided by the subject and held under consent or contract (Art. 20), so it goes into a portability
    package too; everything goes into an access package. ``matched``: every value in it by which a subject can be
    found, as the system wrote it down, and when it happened; a record without is never handed out (REQ-S8).
    ``not_provided``: fields of a portable record that are not from the subject, which an access package has alone.
    ``anchors``: from when periods of the policy count for it, by what the policy calls that; ``states``: which of the
    states lasts by which its rules keep, None where it should be known and is not. ``hidden``: fields of
    which they do not see what stands there, to protect others (Art. 15(4)), by whose part it is (``policy.Other``).
    """

    category: str
    source: str
    data: Mapping[str, JsonValue]
    portable: bool = True
    matched: tuple[Match, ...] = ()
    not_provided: tuple[str, ...] = ()
    anchors: Mapping[str, date] = field(default_factory=dict)
    states: States = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Receipt:
    """Proof of one task: counts in rows or objects, before and after.

    ``found`` before anything was changed, ``changed`` deleted or altered, ``remaining`` when looked at again.
    ``not_searched``: why a part could not be searched, where the rest was, ``level``: for want of which proof;
    ``corrected``: of each of the task's changes, how many records show it now, ``stated``: as a statement beside them;
    ``uncounted``: why the counts cannot be known; ``unattributed``: rows with numbers that may be anybody's,
    ``written_by_others``: by third persons, beside theirs; ``narrowed``: their own dates leave out what is theirs;
    ``kept``: what is kept by rules of the policy; ``reduced``: of how many of these something was taken now, by
    category; ``categories``: all searched, ``searched_by``: by what; ``states``: which last of those that it tells;
    ``anonymised``: categories whose changed records stay and tell of nobody; ``ended``: those erased with a consent.
    ``identities`` and ``records`` go to the
    vault; ``parts``: in how many parts records were handed over before, where there were too many to hold them all.
    ``by_account``: kinds of data that were not searched for want of an account; ``no_account``: of which nothing is
    there, since none was found.
    """

    task_id: UUID
    outcome: TaskOutcome
    found: int = 0
    changed: int = 0
    remaining: int = 0
    by_category: Mapping[str, int] = field(default_factory=dict)
    ground: str | None = None
    until: date | None = None
    kept: tuple[Kept, ...] | None = None
    reduced: Mapping[str, int] | None = None
    by_account: tuple[str, ...] | None = None
    no_account: tuple[str, ...] | None = None
    states: States | None = None
    anonymised: tuple[str, ...] | None = None
    ended: tuple[str, ...] | None = None
    reference: str | None = None
    not_searched: Unsearched | None = None
    level: Level | None = None
    corrected: tuple[int, ...] | None = None
    stated: bool | None = None
    uncounted: Uncounted | None = None
    unattributed: int | None = None
    written_by_others: int | None = None
    narrowed: bool | None = None
    searched_by: tuple[IdentityType, ...] | None = None
    categories: tuple[str, ...] | None = None
    identities: tuple[Identity, ...] = ()
    records: tuple[Record, ...] = ()
    parts: int = 0

    def report(self, system: str, operation: Operation) -> TaskReport:
        """What may be told of it: the counts, and nothing of whom or what it found."""
        counts = {name: value for name in _REPORTED if (value := getattr(self, name)) is not None}
        return TaskReport(system=system, operation=operation, **counts)

    @classmethod
    def counted(cls, task: Task, outcome: TaskOutcome, counts: Mapping[str, int]) -> Self:
        """All that was found, by category, was changed; ``no_match`` where that is nothing."""
        found = {category: rows for category, rows in counts.items() if rows}
        n = sum(found.values())
        return cls(task.task_id, outcome if n else TaskOutcome.NO_MATCH, found=n, changed=n, by_category=found)

    @classmethod
    def planned(cls, task: Task, counts: Mapping[str, int]) -> Self:
        """What an erasure would find, by category, and nothing of it would stay; ``no_match`` where that is nothing."""
        found = {category: rows for category, rows in counts.items() if rows}
        n = sum(found.values())
        return cls(task.task_id, TaskOutcome.PLANNED if n else TaskOutcome.NO_MATCH, found=n, by_category=found)


_REPORTED = tuple(each.name for each in fields(Receipt) if each.name in TaskReport.model_fields)


@dataclass(frozen=True, slots=True)
class NotSearched:
    """The subject could not be searched for: who asks is asked for what would help, or a person decides."""

    task_id: UUID
    reason: Unsearched
    level: Level | None = None


COPY_FIRST = "copy_first"
"""What a task is told whose subject is owed a copy, or whose data are held: what it would erase it only stops."""
STOPS_MARKETING = "stops_marketing"
"""What a task is told that locates somebody whose marketing is to stop, and nothing else."""
BY_STATED: Final = "by_stated"
"""What a task is told of whoever objects or withdraws consent: no address that a row tells leads to another row."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The system has taken the task and will answer later; what was noted comes back with the next attempt.

    ``busy``: it has not, and says itself that it wants to be left alone for so long. ``copy_first``: it has done what
    need not wait, and what the same person asked to see comes before the rest.
    """

    task_id: UUID
    retry_in: timedelta
    busy: bool = False
    copy_first: bool = False


Result = Receipt | NotSearched | Pending | Unavailable | Refused
Checkpoint = Callable[[Mapping[UUID, Mapping[str, JsonValue]]], Awaitable[None]]
"""Remembers progress per task id durably, *before* anything irreversible, for a repeat after a crash.

Raises ``Withdrawn`` where a request was withdrawn meanwhile, and nothing irreversible may follow; let it pass. Whoever
has nothing to remember, and takes many steps, asks so before each, with an empty note.
"""


def of_corrections(task: Task, counts: Mapping[str, int], shown: Sequence[int], found: int) -> Receipt:
    """What came of a task's changes, each ``shown`` now by so many records; ``found``: how many are the subject's."""
    changed = Receipt.counted(task, TaskOutcome.AMENDED, counts)
    if changed.found:
        return replace(changed, corrected=tuple(shown))
    if not (found or any(shown)):
        return changed
    outcome = TaskOutcome.AMENDED if any(shown) else TaskOutcome.UNCHANGED
    return Receipt(task.task_id, outcome, found=max(found, *shown), corrected=tuple(shown))
