"""What rules of the policy keep in a SQL store in face of an erasure: found and counted by rule, each row by its day.

A rule splits the rows of a table in two by an instant: those that are past their day are erased as any others; those
within it lose all but the fields of the rule (``reducing.py``). Where several rules keep rows of a table, each row is
met once, between the instants of two of them, and what is left of it are the fields of all that keep it still. All
parts are the same statements with one more condition, so that whose a row is is told as always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cached_property
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.operations import Kept
from shared.domain.policy import OnErasure, Period, Policy, Rule, first_kept, parse_period, release
from shared.downstreams.contract import Task
from shared.downstreams.sql.finding.attribution import attribute
from shared.downstreams.sql.finding.examination import as_utc, by_former
from shared.downstreams.sql.finding.search_keys import ZONELESS, wall_clock
from shared.downstreams.sql.keeping.held import Held, held
from shared.downstreams.sql.keeping.leading import Leading, leading
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

TOLD: Final = "told"
"""By system and rule the period that people were told, as a detail of a deferred erasure: it never becomes longer."""


@dataclass(frozen=True)
class Ruled:
    """A table of which a rule keeps rows: ``due`` finds those past their day, ``within`` those that are kept.

    ``whole``: they stay as they are, in use; else they are reduced to the fields of the rule, and restricted.
    ``longer``: the rules that keep the same rows, too, the one that does so longest first; ``but``: the rule whose rows
    are left out, since they are met with that.
    """

    table: Statements
    name: str
    rule: Rule
    period: Period
    zone: str
    today: date
    whole: bool = False
    longer: tuple["Ruled", ...] = ()
    but: "Ruled | None" = None

    @property
    def _type(self) -> str:
        occurred = self.table.table.occurred
        return self.table.relation.types[occurred.column] if occurred else "date"

    @cached_property
    def begins(self) -> datetime:
        """From which moment on rows are kept; of a column of days, that day in UTC."""
        day = first_kept(self.period, self.today)
        return datetime.combine(day, time(), ZoneInfo("UTC" if self._type == "date" else self.zone))

    @cached_property
    def since(self) -> str:
        """The same in the terms of the column."""
        moment: date = self.begins.date() if self._type == "date" else self.begins
        if self._type == ZONELESS:
            moment = wall_clock(self.begins, self.table.table.timezone, earliest=True)
        return f"{literal(moment.isoformat())}::{self._type}"

    @property
    def past(self) -> str:
        """That a row is past its day, as a condition that goes on."""
        return f" AND {self.table.moment} < {self.since}"

    @property
    def stays(self) -> str:
        """That a row is within it."""
        if self.but is None:  # also what has no moment: every rule keeps it
            return f"({self.table.moment} < {self.since}) IS NOT TRUE"
        return f"({self.table.moment} >= {self.since} AND {self.table.moment} < {self.but.since})"

    @cached_property
    def due(self) -> Statements:
        return replace(self.table, also=self.table.also + self.past)

    @cached_property
    def within(self) -> Statements:
        return replace(self.table, also=f"{self.table.also} AND {self.stays}")

    @property
    def kept_columns(self) -> frozenset[str]:
        """What is left of a row that is kept, besides what finds it."""
        keeps = self.table.table.keeps
        columns = [keeps.columns(each.rule.fields) for each in (self, *self.longer)] if keeps else []
        return frozenset().union(*columns)

    @cached_property
    def undated(self) -> Statements:
        """Finds those that are kept since nobody knows when their day comes: they say no beginning."""
        return replace(self.table, also=f"{self.table.also} AND {self.table.moment} IS NULL")

    def kept_undated(self, rows: "Rows") -> Kept:
        """What is told of these: by which rule and period, and no day."""
        longest, *_ = (*self.longer, self)
        category, period = self.table.table.category, str(longest.period)
        return Kept(category=category, rule=longest.name, count=rows.undated, period=period)

    def kept(self, rows: "Rows") -> Kept:
        """What is told of the others: each is kept until its own day, by the rule that keeps it longest.

        On the first of these days the first of them goes, or what of it no other rule needs.
        """
        longest, *_ = (*self.longer, self)
        moments = [moment for moment in (rows.first, rows.last) if moment is not None]
        until = [each.ends(moment) for each in (self, longest) for moment in moments]
        return Kept(
            category=self.table.table.category,
            rule=longest.name,
            count=rows.count - rows.undated,
            first=min(until, default=None),
            last=max(until, default=None),
            anchor=min(map(self._local, moments), default=None),
            period=str(longest.period),
        )

    def ends(self, moment: Any) -> date:
        """The last day on which it keeps a row of that moment."""
        return release(self.period, self._local(moment), self.zone).last_day

    def _local(self, moment: Any) -> date:
        if not isinstance(moment, datetime):
            return date.fromisoformat(str(moment))
        return as_utc(moment, self.table.table.timezone).astimezone(ZoneInfo(self.zone)).date()


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows of a subject are kept by a rule, and when the first and the last of them happened.

    ``alone``: a number of theirs was somebody else's before or after, so they need statements of their own.
    ``undated``: how many of them say no beginning from which their period could count.
    """

    count: int
    first: Any = None
    last: Any = None
    alone: bool = False
    undated: int = 0


def ruled(session: Session, policy: Policy, task: Task) -> list[Ruled | Held]:
    """The tables of which rules of the policy keep rows, as they hold for this task and those that were told the same.

    What a customer decides about is theirs to keep: our rules are for our own data.
    """
    found: list[Ruled | Held] = []
    free = (table for table in session.tables if table.table.category not in task.held)
    for table in free if session.tenant is None else ():
        category = policy.category(table.table.category)
        for name in category.kept_by if category else ():
            rule = policy.rules[name]
            lasts = task.states.get(rule.lasts_while or "", False)
            if rule.period is None and lasts is False:
                continue
            if task.at is None:
                raise ValueError(f"{session.system}: a task of which {name} may keep rows needs its instant")
            today = task.at.astimezone(ZoneInfo(zone := policy.zone_of(rule))).date()
            if rule.period is None:
                keeps = table.table.keeps
                left = keeps.columns(rule.fields) if keeps and rule.fields else frozenset[str]()
                found.append(Held(table, today, name, rule, known=lasts is True, columns=left))
                continue
            shortest = min([rule.period, *_told(task, name)], key=lambda period: period.about_days)
            whole = category is not None and category.on_erasure is OnErasure.KEEP
            found.append(Ruled(table, name, rule, shortest, zone, today, whole))
    return found


def together(rules: Sequence[Ruled]) -> list[Ruled]:
    """The same so that each row of a table is met once, with all the rules that keep it."""
    found: list[Ruled] = []
    for name in dict.fromkeys(each.table.name for each in rules):
        of_table = sorted((each for each in rules if each.table.name == name), key=lambda each: each.begins)
        for n, (each, but) in enumerate(zip(of_table, [*of_table[1:], None], strict=True)):
            found.append(replace(each, longer=tuple(of_table[:n]), but=but))
    return found


def told_alike(tasks: Sequence[Task]) -> Mapping[str, list[Task]]:
    """The tasks by what people were told, what of theirs is held, and which states last: of those alike in one call."""
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        groups.setdefault(str((_told_here(task), sorted(task.held), sorted(task.states.items()))), []).append(task)
    return groups


def _told_here(task: Task) -> Mapping[str, Any]:
    said = task.details.get(TOLD)
    here = said.get(task.system) if isinstance(said, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _told(task: Task, rule: str) -> list[Period]:
    period = _told_here(task).get(rule)
    return [parse_period(period)] if isinstance(period, str) else []


Stay = Ruled | Held | Leading
"""A table of which rows stay in face of an erasure, and which of them."""


def staying(session: Session, rules: Sequence[Ruled | Held], task: Task) -> list[Stay]:
    """What holds of this task and those alike cover, what signed rules keep, and what leads to it, in this order.

    What a state keeps stays whatever its day is, with all that any rule in force keeps of it.
    """
    signed = [each for each in rules if each.rule and each.rule.signed(each.today)]
    lasting: dict[str, Held] = {}
    for each in (each for each in signed if isinstance(each, Held) and each.known):
        known = lasting.get(each.table.name, each)
        left = known.columns.union(*(other.kept_columns for other in signed if other.table.name == each.table.name))
        lasting[each.table.name] = replace(each if each.whole else known, columns=left)
    counting = [each for each in signed if isinstance(each, Ruled) and each.table.name not in lasting]
    covered = held(session, task.held, task.at.date() if task.at else date.min)
    own: list[Ruled | Held] = [*covered, *lasting.values(), *together(counting)]
    return [*own, *leading(session, own)]


def without_staying(tables: Sequence[Statements], stay: Sequence[Stay]) -> tuple[Statements, ...]:
    """The same tables without the rows that stay."""
    past: dict[str, str] = {}
    for each in stay:
        also = f" AND NOT {each.stays}" if isinstance(each, Leading) else each.past
        past[each.table.name] = past.get(each.table.name, "") + also
    return tuple(replace(t, also=t.also + past[t.name]) if t.name in past else t for t in tables)


async def count(session: Session, each: Stay, tasks: Sequence[Task]) -> dict[UUID, Rows]:
    """What is kept of each task in a table; those of whom nothing is are left out."""
    return await _count(session, each.within, tasks)


async def _count(session: Session, table: Statements, tasks: Sequence[Task]) -> dict[UUID, Rows]:
    asked = table.wanted(tasks)
    rows: dict[int, Rows] = {}
    alone = {n for n, task in enumerate(tasks) if by_former([table], task)}
    if asked:
        for group in await session.connection.fetch(table.count, *asked.arrays):
            whose = attribute([group], table, asked)
            first, last = group[len(table.finders) + 1], group[len(table.finders) + 2]
            for position, n in whose.rows.items():
                rows[position] = _with(rows.get(position), n, first, last)
            alone |= whose.strays
            if not table.to_one:  # a row that leads to several is met once for each of them
                alone |= whose.rows.keys()
    for position in alone:
        if keys := table.keys(tasks[position]):
            n, first, last = (await session.connection.fetch(*table.count_one(keys)))[0]
            rows[position] = Rows(n, first, last, alone=True)
    return {tasks[position].task_id: found for position, found in rows.items() if found.count}


Counted = Sequence[tuple[Stay, Mapping[UUID, Rows]]]
"""By table what of it stays of each task, each after those to which it leads."""


async def counted(session: Session, stay: Sequence[Stay], tasks: Sequence[Task]) -> Counted:
    """What stays of these tasks now; nothing is changed."""
    found: list[tuple[Stay, Mapping[UUID, Rows]]] = []
    for each in stay if tasks else ():
        rows = await count(session, each, tasks)
        if rows and isinstance(each, Ruled) and each.but is None:  # every rule keeps what has no moment
            undated = await _count(session, each.undated, [task for task in tasks if task.task_id in rows])
            rows |= {task_id: replace(rows[task_id], undated=n.count) for task_id, n in undated.items()}
        found.append((each, rows))
    return found


def _with(known: Rows | None, n: int, first: Any, last: Any) -> Rows:
    if known is None:
        return Rows(n, first, last)
    begins = [moment for moment in (known.first, first) if moment is not None]
    ends = [moment for moment in (known.last, last) if moment is not None]
    return Rows(known.count + n, min(begins, default=None), max(ends, default=None))


def without_marks(session: Session, tasks: Sequence[Task]) -> tuple[Statements, ...]:
    """The tables of a store, without the rows that restrict what is kept of these tasks' own requests."""
    side = session.restriction
    if side is None:
        return session.tables
    own = ", ".join(sorted(f"{literal(str(task.request_id))}::uuid" for task in tasks))
    but = f" AND (t.{quoted(side.request)} IN ({own})) IS NOT TRUE"
    return tuple(replace(t, also=t.also + but) if t.name == side.table else t for t in session.tables)
