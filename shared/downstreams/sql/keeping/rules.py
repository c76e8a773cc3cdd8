"""What rules of the policy keep in a SQL store in face of an erasure: rows within their period, each with its day.

A rule splits the rows of a table in two by an instant: those that are past their day are erased as any others; those
within it lose all but the fields of the rule (``reducing.py``). One by the law of another country than ours splits
those that may be under that law. All parts are the same statements with one more condition, so that whose a row is is
told as always.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from functools import cached_property, lru_cache
from itertools import product
from typing import Any, Final
from zoneinfo import ZoneInfo

from shared.domain.operations import Kept, Limit
from shared.domain.policy import OnErasure, Period, Policy, Rule, first_kept, parse_period, release
from shared.downstreams.contract import States, Task
from shared.downstreams.sql.finding.examination import as_utc
from shared.downstreams.sql.finding.jurisdiction import Area, areas
from shared.downstreams.sql.finding.search_keys import ZONELESS, wall_clock
from shared.downstreams.sql.keeping import states
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.quoting import literal
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

TOLD: Final = "told"
"""By system and rule the period that people were told, as a detail of a deferred erasure: it never becomes longer."""


@dataclass(frozen=True)
class Ruled:
    """A table of which a rule keeps rows: ``due`` finds those past their day, ``within`` those that are kept.

    ``whole``: they stay as they are, in use; else they are reduced to the fields of the rule, and restricted.
    ``stands``: it was told, and nobody has signed it since: what it has kept stays until its day, and no longer.
    ``lapsed``: its day has come besides, and it stays until somebody has said what becomes of it.
    ``longer``: the rules that keep the same rows, too, the one that does so longest first; ``but``: the rule whose rows
    are left out, since they are met with that. ``area``: which of its rows it may concern, as a condition that is never
    NULL; empty: all. ``shown``: of a rule by the law of one country, whether these rows say that they are under it.
    """

    table: Statements
    name: str
    rule: Rule
    period: Period
    zone: str
    today: date
    whole: bool = False
    stands: bool = False
    lapsed: bool = False
    longer: tuple["Ruled", ...] = ()
    but: "Ruled | None" = None
    area: str = ""
    shown: bool | None = None

    @property
    def in_force(self) -> bool:
        """Whether it keeps anything: somebody has signed it, or it was told while that was so."""
        return self.stands or self.rule.signed(self.today)

    @property
    def _type(self) -> str:
        occurred = self.table.table.occurred
        return self.table.relation.types[occurred.column] if occurred else "date"

    @cached_property
    def begins(self) -> datetime:
        """From which moment on rows are kept; of a column of days, that day in UTC."""
        if self.lapsed:
            return datetime.min.replace(tzinfo=UTC)
        day = first_kept(self.period, self.today)
        return datetime.combine(day, time(), ZoneInfo("UTC" if self._type == "date" else self.zone))

    @cached_property
    def since(self) -> str:
        """The same in the terms of the column."""
        if self.lapsed:
            return f"'-infinity'::{self._type}"
        moment: date = self.begins.date() if self._type == "date" else self.begins
        if self._type == ZONELESS:
            moment = wall_clock(self.begins, self.table.table.timezone, earliest=True)
        return f"{literal(moment.isoformat())}::{self._type}"

    @property
    def past(self) -> str:
        """That a row is past its day, or none of these, as a condition that goes on."""
        past = f"{self.table.moment} < {self.since}"
        return f" AND (NOT {self.area} OR {past})" if self.area else f" AND {past}"

    @property
    def stays(self) -> str:
        """That a row is within it."""
        here = f"{self.area} AND " if self.area else ""
        if self.but is None:  # also what has no moment: every rule keeps it
            return f"({here}({self.table.moment} < {self.since}) IS NOT TRUE)"
        return f"({here}{self.table.moment} >= {self.since} AND {self.table.moment} < {self.but.since})"

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

    def kept_undated(self, rows: Rows) -> Kept:
        """What is told of these: by which rule and period, and no day."""
        longest, *_ = (*self.longer, self)
        category, period = self.table.table.category, str(longest.period)
        return Kept(category=category, rule=longest.name, count=rows.undated, period=period, shown=longest.shown)

    def kept(self, rows: Rows) -> Kept:
        """What is told of the others: each is kept until its own day, by the rule that keeps it longest.

        Where a shorter rule keeps more of them, that goes when it is over, and the rest stays.
        """
        longest, *_ = (*self.longer, self)
        moments = [moment for moment in (rows.first, rows.last) if moment is not None]
        days = [*map(self.day_of, moments)]
        until = [longest.ends(day) for day in (days if longest is self else map(longest.day_of, moments))]
        return Kept(
            category=self.table.table.category,
            rule=longest.name,
            count=rows.count - rows.undated,
            first=min(until, default=None),
            last=max(until, default=None),
            reduced=None if longest is self else min(map(self.ends, days), default=None),
            anchor=min(days, default=None),
            period=str(longest.period),
            shown=longest.shown,
        )

    def ends(self, began: date) -> date:
        """The last day on which it keeps a row whose anchor is that local day."""
        return _last_day(self.period, began, self.zone)

    def day_of(self, moment: Any) -> date:
        """The local day of an anchor, where its period is counted."""
        if not isinstance(moment, datetime):
            return date.fromisoformat(str(moment))
        return as_utc(moment, self.table.table.timezone).astimezone(ZoneInfo(self.zone)).date()


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a table for which the same rules hold: those of an area that are in the same states.

    ``rows``: as a condition that is never NULL; empty: all. ``states``: which last for them.
    """

    area: Area
    rows: str
    states: States


def ruled(session: Session, policy: Policy, task: Task, said: Sequence[states.Said]) -> list[Ruled | Held]:
    """The tables of which rules of the policy keep rows, as they hold for this task and those that were told the same.

    What a customer decides about is theirs to keep: our rules are for our own data.

    ``said``: of the states that rows of the store itself tell.
    """
    found: list[Ruled | Held] = []
    free = (table for table in session.tables if table.table.category not in task.held)
    for table in free if session.tenant is None else ():
        category = policy.category(table.table.category)
        kept_by = category.kept_by if category else ()
        countries = frozenset(filter(None, map(policy.country_of, map(policy.rules.__getitem__, kept_by))))
        for part in _parts(policy, task, table, said, areas(table, countries)):
            may_be_of = {None, *part.area.may_be_of}
            names = [name for name in kept_by if policy.country_of(policy.rules[name]) in may_be_of]
            found += filter(None, (_ruled(session, policy, task, table, name, part) for name in names))
    return found


def _parts(
    policy: Policy, task: Task, table: Statements, said: Sequence[states.Said], of: Sequence[Area]
) -> Iterator[_Part]:
    """A state that its own rows tell holds those that are in it; what is told elsewhere, by which no row is named, all.

    So is what another cannot tell: whoever asks would have it of any of them.
    """
    elsewhere, lasting = states.elsewhere(said, task, table.name), policy.lasting(table.table.category)
    own = {
        word: condition
        for word, condition in states.among(said, task, table.name).items()
        if word in lasting and elsewhere.get(word, False) is False
    }
    for area in of:
        for chosen in product((True, False), repeat=len(own)):
            each = zip(own.items(), chosen, strict=True)
            tests = [*filter(None, [area.rows]), *(c if lasts else f"NOT {c}" for (_, c), lasts in each)]
            here = {word: True for word, lasts in zip(own, chosen, strict=True) if lasts}
            rows = f"({' AND '.join(tests)})" if len(tests) > 1 else "".join(tests)
            yield _Part(area, rows, {**elsewhere, **here})


def _ruled(
    session: Session, policy: Policy, task: Task, table: Statements, name: str, part: _Part
) -> "Ruled | Held | None":
    """What a rule keeps of a part of a table; None: its state is over."""
    rule = policy.rules[name]
    lasts = part.states.get(rule.lasts_while or "", False)
    if rule.period is None and lasts is False:
        return None
    if task.at is None:
        raise ValueError(f"{session.system}: a task of which {name} may keep rows needs its instant")
    today = task.at.astimezone(ZoneInfo(zone := policy.zone_of(rule))).date()
    country, rows = policy.country_of(rule), part.rows
    shown = None if country is None else country == part.area.is_of
    if rule.period is None:
        keeps = table.table.keeps
        left = keeps.columns(rule.fields) if keeps and rule.fields else frozenset[str]()
        known, partly = lasts is True, bool(part.area.rows)
        return Held(table, today, name, rule, known=known, columns=left, area=rows, partly=partly, shown=shown)
    told = _told(task, name)
    lapsed = name in task.lapsed
    stands = lapsed or (bool(told) and not rule.signed(today) and not task.confirmed.get(Limit.UNSIGNED_ROWS))
    periods = told if stands and told else [rule.period, *told]
    shortest = min(periods, key=lambda period: period.about_days)
    whole = (category := policy.category(table.table.category)) is not None and category.on_erasure is OnErasure.KEEP
    return Ruled(table, name, rule, shortest, zone, today, whole, stands, lapsed=lapsed, area=rows, shown=shown)


def told_alike(tasks: Sequence[Task], said: Sequence[states.Said]) -> Mapping[str, list[Task]]:
    """The tasks by what people were told, what of theirs is held, and which states last: of those alike in one call.

    And by whether two persons have confirmed that something goes which nobody has signed.
    """
    groups: dict[str, list[Task]] = {}
    for task in tasks:
        confirmed = bool(task.confirmed.get(Limit.UNSIGNED_ROWS))
        last = (sorted(task.states.items()), [each.says(task.task_id) for each in said])
        alike = str((_told_here(task), sorted(task.held), last, sorted(task.lapsed), confirmed))
        groups.setdefault(alike, []).append(task)
    return groups


def _told_here(task: Task) -> Mapping[str, Any]:
    said = task.details.get(TOLD)
    here = said.get(task.system) if isinstance(said, Mapping) else None
    return here if isinstance(here, Mapping) else {}


def _told(task: Task, rule: str) -> list[Period]:
    period = _told_here(task).get(rule)
    return [parse_period(period)] if isinstance(period, str) else []


@lru_cache(4096)
def _last_day(period: Period, began: date, zone: str) -> date:
    """Of many people's rows few days differ."""
    return release(period, began, zone).last_day
