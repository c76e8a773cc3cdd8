"""Defines the tasks that an adapter works and the results that it returns.

Every operation takes a sequence of tasks and returns one result for each, in the same order:

    Receipt      done, and verified by a second look
    NotSearched  no known identity of the subject can be searched by here; nothing was done
    Pending      the system is working on it; ask again later
    Unavailable  the system is away or busy; the worker retries with backoff
    Refused      it cannot be done as asked; a person must look (subclasses name why)

An adapter may raise ``Unavailable`` or ``SystemRefused`` for all tasks of the call. After any other ``Refused`` or an
unexpected error the call is repeated in halves until the failing task is alone; after repeated outages too. So a
repeated task id must have no second effect and give the same counts, and a committed task is never undone or reported
as failed because of another.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from pydantic import JsonValue

from shared.domain.errors import Refused, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, CountUnknown, Kept, Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.release import Match
from shared.domain.rights import Level
from shared.domain.topics import Message

States = Mapping[str, bool | None]
"""Whether each state of the policy lasts, by its name; None: unknown."""
Publish = Callable[[Sequence[Message]], Awaitable[None]]
"""Sends records and returns once the broker has them all (``Producer.send``), or raises a ``DsrError``."""


@dataclass(slots=True)
class Task:
    """One operation on one system for one request.

    - ``identities``: the subject's identities to search by; ``ignored``: further ones, which only identify rows found
    - ``level``: the level to which each identity is proved at least
    - ``changes``: the corrections that the subject asked for
    - ``details``: further input of the operation. ``restrict``: ``ground``. ``flag``: ``open``. ``rectify``: ``zone``,
      the time zone of the subject. ``escalate``: ``level``, ``due_on``, ``right``, ``escalate_to`` (roles), and where
      they apply ``target_on`` (a missed target), ``lines`` (several requests) and ``outcome``
    - ``progress``: notes of earlier attempts
    - ``opened_and_stage``: when the operation was opened (µs), and its stage
    - ``confirmed``: by limit, the number that two people have confirmed
    - ``tenant``: the customer whose data are searched; None: the company's own
    - ``not_theirs``: for repairs, numbers that by the register were never the subject's
    - ``at``: the instant of the work, by the service's clock
    - ``held_categories``: categories that a legal hold keeps
    - ``states``: states that other systems report
    - ``subject_ref``: the subject's reference in the vault
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
    opened_and_stage: tuple[int, int] = (0, 0)
    confirmed: Mapping[str, int] = field(default_factory=dict)
    tenant: str | None = None
    not_theirs: tuple[Identity, ...] = ()
    level: Level = "L0"
    at: datetime | None = None
    held_categories: frozenset[str] = frozenset()
    states: States = field(default_factory=dict)
    ignored: tuple[Identity, ...] = ()

    @property
    def known(self) -> tuple[Identity, ...]:
        """Returns all identities of the subject, including those that are not searched by."""
        return (*self.identities, *self.ignored)

    @property
    def fencing_token(self) -> tuple[int, int, int]:
        """Returns the fence: it grows with each operation and attempt, and a smaller one must not change anything."""
        return (*self.opened_and_stage, self.attempt)

    @property
    def repair(self) -> bool:
        """Whether it restores a state that our registers require, without a new request."""
        return bool(self.details.get("repair"))

    @property
    def stops_marketing(self) -> bool:
        """Whether it only stops marketing, or locates for that."""
        return self.operation is Operation.SUPPRESS or bool(self.details.get(STOPS_MARKETING))

    @property
    def follows_contacts(self) -> bool:
        """Whether addresses and numbers found in a row are followed to other rows.

        They are not for an objection: contact points in a row may be those of others (Art. 21(3)).
        """
        return self.repair or not (self.stops_marketing or self.details.get(BY_STATED))

    @property
    def removes_marked_only(self) -> bool:
        """Whether it removes only data marked with its request."""
        return bool(self.details.get("marked"))

    @property
    def round(self) -> int:
        """Returns how often a person has retried it; each round is new to the system, not a repeat."""
        noted = self.progress.get("round")
        return noted if isinstance(noted, int) else 0


@dataclass(frozen=True, slots=True)
class CopiedRecord:
    """One record about the subject, as the subject may read it.

    ``portable``: it also goes into a portability package: provided by the subject under consent or contract (Art. 20).
    ``not_provided``: fields of a portable record that go into an access package only.
    ``matched``: values that identify the subject, as the system writes them, with their time; a record without any is
    never handed out (REQ-S8). ``anchors``: start dates of periods, by the policy's names. ``states``: states that keep
    it; None: unknown. ``hidden``: fields withheld to protect others (Art. 15(4)), by ``policy.Other``.
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
    """Result of one task: counts of records, before and after.

    - ``found``: before the change; ``changed``: deleted or altered; ``remaining``: at the second look
    - ``by_category``: found records by category; ``count_unknown``: why the counts are unknown
    - ``kept``, ``ground``, ``until``: records that rules keep, the first rule, and the last day
    - ``reduced``: kept records that lost columns, by category; ``anonymised``: categories that were anonymised
    - ``ended``: categories erased with a withdrawn consent
    - ``categories``, ``searched_by``: categories searched, and the types of identity used
    - ``not_searched``, ``level``: why a part was not searched, and the level of proof that is missing
    - ``by_account``, ``no_account``: categories not searched because no account is known, or none was found
    - ``narrowed``: the subject's own dates leave out records of theirs
    - ``unattributed``: records with numbers of unknown owner; ``written_by_others``: records of others next to theirs
    - ``corrected``: for each change, the number of records that show it; ``stated``: as a statement stored with them
    - ``states``: states that the system reports
    - ``identities``, ``records``: go to the vault; ``parts``: number of parts of records handed over before
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
    count_unknown: CountUnknown | None = None
    unattributed: int | None = None
    written_by_others: int | None = None
    narrowed: bool | None = None
    searched_by: tuple[IdentityType, ...] | None = None
    categories: tuple[str, ...] | None = None
    identities: tuple[Identity, ...] = ()
    records: tuple[CopiedRecord, ...] = ()
    parts: int = 0

    def report(self, system: str, operation: Operation) -> TaskReport:
        """Returns the counts for other services, without identities and records."""
        counts = {name: value for name in _REPORTED if (value := getattr(self, name)) is not None}
        return TaskReport(system=system, operation=operation, **counts)

    @classmethod
    def counted(cls, task: Task, outcome: TaskOutcome, counts: Mapping[str, int]) -> Self:
        """Returns a receipt in which everything found was changed; ``no_match`` for nothing."""
        found = {category: rows for category, rows in counts.items() if rows}
        n = sum(found.values())
        return cls(task.task_id, outcome if n else TaskOutcome.NO_MATCH, found=n, changed=n, by_category=found)

    @classmethod
    def planned(cls, task: Task, counts: Mapping[str, int]) -> Self:
        """Returns the receipt of a dry run that would keep nothing; ``no_match`` for nothing."""
        found = {category: rows for category, rows in counts.items() if rows}
        n = sum(found.values())
        return cls(task.task_id, TaskOutcome.PLANNED if n else TaskOutcome.NO_MATCH, found=n, by_category=found)


_REPORTED = tuple(each.name for each in fields(Receipt) if each.name in TaskReport.model_fields)


@dataclass(frozen=True, slots=True)
class NotSearched:
    """The subject could not be searched for: the requester is asked for proof or identities, or a person decides."""

    task_id: UUID
    reason: Unsearched
    level: Level | None = None


COPY_FIRST = "copy_first"
"""Detail of a task: a copy is owed first or a hold applies, so data are restricted instead of erased."""
STOPS_MARKETING = "stops_marketing"
"""Detail of a task that locates a person only to stop marketing."""
BY_STATED: Final = "by_stated"
"""Detail of an objection or withdrawal: identities found in a row lead to no other row."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The system answers later; notes come back with the next attempt.

    ``busy``: the system has not taken it and asks for a pause. ``copy_first``: the rest waits for a copy that the same
    person asked for.
    """

    task_id: UUID
    retry_in: timedelta
    busy: bool = False
    copy_first: bool = False


Result = Receipt | NotSearched | Pending | Unavailable | Refused
Checkpoint = Callable[[Mapping[UUID, Mapping[str, JsonValue]]], Awaitable[None]]
"""Saves progress by task id durably, before anything irreversible, for a repeat after a crash.

Raises ``Withdrawn`` if the request was withdrawn: nothing irreversible may follow, so let it propagate. An adapter with
many steps calls it before each, with an empty note where it has nothing to save.
"""


def correction_receipt(task: Task, counts: Mapping[str, int], shown: Sequence[int], found: int) -> Receipt:
    """Returns the receipt of corrections; ``shown``: records that show each one; ``found``: the subject's records."""
    changed = Receipt.counted(task, TaskOutcome.AMENDED, counts)
    if changed.found:
        return replace(changed, corrected=tuple(shown))
    if not (found or any(shown)):
        return changed
    outcome = TaskOutcome.AMENDED if any(shown) else TaskOutcome.UNCHANGED
    return Receipt(task.task_id, outcome, found=max(found, *shown), corrected=tuple(shown))
