"""Decides which records an erasure keeps, by which rule, and until when (Art. 17(3), 6(3)); pure.

A legal hold keeps a category. A rule of the policy keeps a category for a period from an anchor of each record, or
while a state lasts. If the records bear the state, those in it stay; if another place or system reports it of the
person, all stay. A record without dates takes those of the record that it belongs to. A record that leads to a kept
record, or that a kept record refers to, stays too.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from shared.domain.errors import GroundUnknown, Refused, RuleUnsigned, SystemRefused
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Exceeded, Kept, Limit
from shared.domain.policy import (
    OnErasure,
    Period,
    Policy,
    Rule,
    WhereUnknown,
    first_kept,
    not_signed,
    parse_period,
    release,
)
from shared.systems.contract import States, Task
from shared.systems.engine.ownership import Attribution, Mine, as_utc, wall_clock
from shared.systems.engine.records import Clock, Moment, Name, Record, Shape
from shared.systems.states import ErasureRefused, country_unknown, lasting, undated, unknown

ANNOUNCED: Final = "announced"
"""Key of a deferred erasure's details: the period that was announced, by system and rule; it never becomes longer."""
_NEVER: Final = date.max
_EVER: Final = datetime.min.replace(tzinfo=UTC)
_UTC: Final = Clock("instant", ZoneInfo("UTC"))


class RuleUndeclared(SystemRefused):
    """The policy requires something other than deletion in a place, and the declaration does not say how."""


class Stay(NamedTuple):
    """Why a record stays: by which rule, and with which fields.

    ``whole``: it stays complete and in use; otherwise it is reduced to ``fields`` and restricted. ``lasts``: it stays
    while a state lasts. ``last``: its last day; None: unknown. ``reduced``: the day on which a shorter rule ends and it
    is reduced further. ``shown``: for a rule of one country, whether the record names that country. ``led``: it stays
    because of another record.
    """

    rule: str
    whole: bool
    fields: frozenset[str] = frozenset()
    lasts: bool = False
    last: date | None = None
    reduced: date | None = None
    anchor: date | None = None
    period: str | None = None
    shown: bool | None = None
    led: bool = False

    @property
    def longest(self) -> date:
        """Returns the last day for comparisons; unknown counts as never."""
        return self.last or _NEVER


_HELD: Final = Stay(LEGAL_HOLD, whole=True, lasts=True)
Stays = Mapping[Name, Stay]


@dataclass(frozen=True)
class _Ruled:
    """A rule applied to one task and place; it keeps records that began at or after ``since``."""

    name: str
    rule: Rule
    countries: frozenset[str] | None
    in_force: bool
    anchor: int | None = None
    clock: Clock = _UTC
    period: Period | None = None
    zone: str = "UTC"
    since: Moment | None = None
    begins: datetime = _EVER

    def moment(self, record: Record) -> Moment | None:
        """Returns the time from which the period counts."""
        return record.at if self.anchor is None else record.anchors[self.anchor]

    def keeps_still(self, record: Record) -> bool | None:
        """Whether a record is within the period; None: it has no time, and every rule keeps it."""
        if (at := self.moment(record)) is None:
            return None
        return self.since is None or not at < self.since

    def concerns(self, record: Record) -> bool:
        """Whether the rule may apply to a record by its country; an unknown country may be any."""
        known = record.shape.countries
        return (
            self.countries is None
            or known is None
            or self.countries.isdisjoint(known)
            or record.country is None
            or record.country in self.countries
        )

    def shown(self, record: Record) -> bool | None:
        """Whether a record names a country of the rule; None: the rule applies in every country."""
        return None if self.countries is None else record.country in self.countries

    def day(self, moment: Moment) -> date:
        """Returns the local day of an anchor in the zone of the period."""
        if not isinstance(moment, datetime):
            return moment
        return as_utc(moment, self.clock.zone).astimezone(ZoneInfo(self.zone)).date()

    def ends(self, day: date) -> date | None:
        """Returns the last day on which the rule keeps a record with that anchor."""
        return _last_day(self.period, day, self.zone) if self.period else None


@dataclass
class _Decided:
    """The rules that keep records of one pattern, the longest first, and the rule that keeps them by a state."""

    keeping: Sequence[_Ruled]
    by_state: _Ruled | None
    whole: bool
    unsigned: tuple[tuple[str, str], ...]
    _stays: dict[tuple[date | None, date | None], Stay] = field(default_factory=dict)
    _fields: frozenset[str] | None = None

    def stay(self, record: Record, dated: Record) -> Stay:
        """Returns why a record stays, by the dates of ``dated``; cached, since many records share a day."""
        longest, shortest = self.keeping[0], self.keeping[-1]
        moment = None if self.by_state else longest.moment(dated)
        day = longest.day(moment) if moment else None
        first = day if shortest is longest or moment is None else shortest.day(moment)
        if (stay := self._stays.get((day, first))) is None:
            stay = self._stays[day, first] = self._made(record, day, first)
        return stay

    def _made(self, record: Record, day: date | None, first: date | None) -> Stay:
        longest, shortest = self.keeping[0], self.keeping[-1]
        if self.by_state:
            shown = self.by_state.shown(record)
            return Stay(self.by_state.name, self.whole, self._fields_of(record), lasts=True, shown=shown)
        known = day is not None and first is not None
        return Stay(
            *(longest.name, self.whole, self._fields_of(record), False),
            longest.ends(day) if day and known else None,
            shortest.ends(first) if first and known and shortest is not longest else None,
            first if known else None,
            str(longest.period),
            longest.shown(record),
        )

    def _fields_of(self, record: Record) -> frozenset[str]:
        if self._fields is None:
            self._fields = frozenset[str]().union(*(_fields(record.shape, each.rule) for each in self.keeping))
        return self._fields


@lru_cache(4096)
def _last_day(period: Period, began: date, zone: str) -> date:
    """Returns the last day of a period; cached, since many records share a day."""
    return release(period, began, zone).last_day


def does_with(shape: Shape, policy: Policy) -> OnErasure:
    """Returns what the policy does with the company's own records of a place."""
    category = policy.category(shape.category)
    if category is None or (category.is_customers and shape.owners is not None):
        return OnErasure.DELETE
    return category.on_erasure


class Keeping:
    """Decides what stays of one subject's records, by all rules, holds and states together.

    ``policy``: None where no rule applies. Rules never apply to data that a customer controls.
    """

    def __init__(self, system: str, policy: Policy | None, found: Attribution) -> None:
        self._system, self._found, self._task = system, found, found.task
        self._policy = policy if policy and found.task.tenant is None else None
        self._telling = [mine for mine in found.records.values() if mine.record.shape.states]
        self._said = _said(self._telling)
        self._rules: dict[tuple[str, str], Sequence[_Ruled]] = {}
        self._states: dict[str, States] = {}
        self._known: dict[tuple[Any, ...], _Decided] = {}
        self._problem: Refused | None = None
        self._unsigned = Counter[str]()
        self._unsigned_of = Counter[tuple[str, str]]()

    def states(self, shapes: Iterable[Shape]) -> States | None:
        """Returns which states of the policy last; None where none is declared, or for a customer's data."""
        states: dict[str, bool | None] = {}
        for shape in shapes:
            for word in (state.word for state in shape.states if state.word):
                states[word] = lasting(states.get(word, False), self._said.get((shape.place, word), False))
        return states if states and self._task.tenant is None else None

    def stays(self) -> dict[Name, Stay]:
        """Returns the records that stay.

        Raises:
            ErasureRefused: the state of a record forbids every erasure of the subject
            GroundUnknown: such a state, or a state or country that a rule depends on, is unknown
            RuleUnsigned: a rule that would keep records is unsigned, and two people have not confirmed the deletion
        """
        stays: dict[Name, Stay] = {}
        self._refuse(lambda mine, word: self._covered(mine) or word in self._lasting(mine), stays=None)
        for name, mine in self._found.records.items():
            if stay := self._stay(mine):
                stays[name] = stay
        if self._problem:
            raise self._problem
        if self._policy:
            today = self._policy.today(self._task.at) if self._task.at else date.min
            allowed = self._task.confirmed.get(Limit.UNSIGNED_ROWS, 0)
            if refused := _unsigned_rows(self._unsigned, self._unsigned_of, allowed, self._policy.rules, today):
                raise refused
        self._refuse(
            lambda mine, word: word in self._lasting(mine) or stays[mine.record.name].rule == LEGAL_HOLD, stays
        )
        return self._with_led(stays)

    def _lasting(self, mine: Mine) -> frozenset[str | None]:
        return frozenset(self._policy.lasting(mine.record.shape.category)) if self._policy else frozenset()

    def _covered(self, mine: Mine) -> bool:
        return self._policy is not None and mine.record.shape.category in self._task.held

    def _refuse(self, is_fine: Callable[[Mine, str], bool], stays: Stays | None) -> None:
        """Raises if the state of a record forbids the erasure, or is unknown."""
        unclear: GroundUnknown | None = None
        for mine in self._telling:
            shape = mine.record.shape
            for state, lasts in zip(shape.states, mine.record.states, strict=True):
                fine = (stays is None or mine.record.name in stays) and state.word is not None
                if lasts and not (fine and is_fine(mine, state.word or "")):
                    raise ErasureRefused(
                        f"{self._system} has a row of {shape.place} that must stay now: {state.reason}"
                    )
                if lasts is None and unclear is None:
                    unclear = GroundUnknown(
                        f"{self._system} has a row of {shape.place} that does not say whether {state.reason}: enter it"
                        " there, or declare its word, and try again; nothing was done"
                    )
        if unclear:
            raise unclear

    def _stay(self, mine: Mine) -> Stay | None:
        record, shape = mine.record, mine.record.shape
        if self._policy is None:
            return None
        if shape.category in self._task.held:
            return _HELD
        dated = record if shape.clock else _dated(mine)
        places = shape.place, dated.shape.place
        if (rules := self._rules.get(places)) is None:
            rules = self._rules[places] = self._rules_of(self._policy, shape, dated.shape)
        if not rules:
            return None
        pattern = (*places, record.states, record.country, *[rule.keeps_still(dated) for rule in rules])
        decided = self._known.get(pattern)
        if decided is None:
            decided = self._known[pattern] = self._decide(self._policy, record, dated, rules)
        if decided.unsigned:
            self._unsigned[shape.category] += record.rows
            self._unsigned_of.update(dict.fromkeys(decided.unsigned, record.rows))
        return decided.stay(record, dated) if decided.keeping else None

    def _decide(self, policy: Policy, record: Record, dated: Record, rules: Sequence[_Ruled]) -> "_Decided":
        """Returns the rules in force that keep records of this pattern."""
        shape, keeping, by_state = record.shape, list[_Ruled](), list[_Ruled]()
        states = self._of(record)
        for each in (each for each in rules if each.concerns(record)):
            state = each.rule.lasts_while or ""
            lasts = states.get(state, False)
            if each.rule.period is None and lasts is not True:
                if lasts is None:
                    self._tell(GroundUnknown(unknown(self._system, shape.category, each.name, state)))
                continue
            if each.keeps_still(dated) is False:
                continue
            if each.shown(record) is False and each.rule.where_unknown is WhereUnknown.ASK:
                said = country_unknown(self._system, shape.category, each.name, each.countries or ())
                self._tell(GroundUnknown(said))
            if each.in_force:
                keeping.append(each)
                by_state += [each] if each.rule.period is None else []
        whole = shape.whole or any(not each.rule.fields for each in by_state)
        named = next((each for each in reversed(by_state) if not each.rule.fields), None) or next(iter(by_state), None)
        if not by_state:
            whole = shape.whole or does_with(shape, policy) is OnErasure.KEEP
            for each in keeping if not _has_dates(shape) else ():
                if each.moment(dated) is None:
                    self._tell(GroundUnknown(undated(self._system, shape.category, each.name, each.rule.anchor)))
        unsigned = tuple((shape.category, each.name) for each in rules if self._is_unsigned(each, record))
        return _Decided(sorted(keeping, key=lambda each: each.begins), named, whole, unsigned)

    def _tell(self, problem: Refused) -> None:
        self._problem = self._problem or problem

    def _is_unsigned(self, each: _Ruled, record: Record) -> bool:
        """Whether an unsigned rule applies to a record, even past its period."""
        lasts = self._of(record).get(each.rule.lasts_while or "", False)
        return not each.in_force and each.concerns(record) and bool(each.rule.period or lasts)

    def _of(self, record: Record) -> States:
        """Returns the states that last for a record: its own, other places' and other systems'."""
        shape = record.shape
        if (elsewhere := self._states.get(shape.place)) is None:
            said: dict[str, bool | None] = {**self._task.states}
            for (place, word), lasts in self._said.items():
                if place != shape.place:
                    said[word] = lasting(said.get(word, False), lasts)
            elsewhere = self._states[shape.place] = said
        if not record.states:
            return elsewhere
        own = dict(elsewhere)
        for state, lasts in zip(shape.states, record.states, strict=True):
            if state.word:
                own[state.word] = lasting(own.get(state.word, False), lasts)
        return own

    def _rules_of(self, policy: Policy, shape: Shape, dated: Shape) -> Sequence[_Ruled]:
        category = policy.category(shape.category)
        kept_by = category.kept_by if category and not category.is_customers and not shape.spare else ()
        by_state = (name for name in kept_by if not shape.whole or policy.rules[name].period is None)
        return [self._ruled(policy, dated, name) for name in by_state]

    def _ruled(self, policy: Policy, shape: Shape, name: str) -> _Ruled:
        rule, task = policy.rules[name], self._task
        if task.at is None:
            raise ValueError(f"{self._system}: a task of which {name} may keep something needs its instant")
        zone = policy.zone_of(rule)
        today = task.at.astimezone(ZoneInfo(zone)).date()
        countries = policy.countries_of(rule)
        if rule.period is None:
            return _Ruled(name, rule, countries, rule.signed(today))
        announced = _announced(task, name)
        stands = bool(announced) and not rule.signed(today) and not task.confirmed.get(Limit.UNSIGNED_ROWS)
        period = min(announced if stands and announced else [rule.period, *announced], key=lambda each: each.about_days)
        names = [anchor for anchor, _ in shape.anchors]
        anchor = names.index(rule.anchor) if rule.anchor in names else None
        clock = (shape.clock if anchor is None else shape.anchors[anchor][1]) or _UTC
        in_force = stands or rule.signed(today)
        day = first_kept(period, today)
        begins = datetime.combine(day, time(), ZoneInfo("UTC" if clock.kind == "day" else zone))
        since: Moment = day if clock.kind == "day" else begins
        if clock.kind == "wall":
            since = wall_clock(begins, clock.zone, earliest=True)
        return _Ruled(name, rule, countries, in_force, anchor, clock, period, zone, since, begins)

    def _with_led(self, stays: dict[Name, Stay]) -> dict[Name, Stay]:
        """Returns the records with those that they lead to, each kept as long as the last that needs it.

        Records that stay by their own rule are followed too: that rule may end earlier.
        """
        found, longest, fresh = dict(stays), dict(stays), [*stays]
        while fresh:
            name = fresh.pop()
            stay, record = longest[name], self._found.records[name].record
            for number, end in self._found.records[name].ends:
                link = record.shape.links[number]
                if not link.joins and not (stay.whole or end.record.shape.flags[2]):
                    continue  # its record cannot be marked as kept
                needed = stay.fields & link.fields
                is_left_out = end.record.shape.spare if stay.whole else not needed
                if link.fields and is_left_out and not link.owns:
                    continue
                if end.record.name not in self._found.records:
                    continue  # it has gone
                above, known = end.record.name, longest.get(end.record.name)
                led = stay._replace(fields=needed, reduced=None, led=True)
                if known is None or _longer(led, known):
                    led = led._replace(whole=led.whole or (known is not None and known.whole))
                    longest[above] = led
                    fresh.append(above)
                    if above not in stays:
                        found[above] = led
        return found

    def idle(self, stays: Stays) -> frozenset[Name]:
        """Returns records that only a legal hold keeps, and what they lead to: these are restricted.

        Records that a state keeps in use, such as an active contract, and the customer that they need are not
        restricted.
        """
        if not self._task.held:
            return frozenset()
        free = Keeping(self._system, self._policy, replace(self._found, task=replace(self._task, held=frozenset())))
        used = {mine.record.shape.place for mine in self._found.records.values() if free.is_used(mine.record)}
        needed, fresh = set[Name](), [name for name in stays if name[0] in used]
        while fresh:
            if (name := fresh.pop()) not in needed and name in self._found.records:
                needed.add(name)
                fresh += [end.record.name for _, end in self._found.records[name].ends]
        return frozenset(name for name, stay in stays.items() if stay.rule == LEGAL_HOLD and name not in needed)

    def is_used(self, record: Record) -> bool:
        """Whether a state keeps, or may keep, a record complete."""
        states = self._of(record)
        for each in self._rules_of(self._policy, record.shape, record.shape) if self._policy else ():
            lasts = states.get(each.rule.lasts_while or "", False)
            if each.rule.period is None and lasts is not False and not each.rule.fields and each.concerns(record):
                return True
        return False


def _has_dates(shape: Shape) -> bool:
    return shape.clock is not None or bool(shape.anchors)


def _dated(mine: Mine) -> Record:
    """Returns the record whose dates count: itself, or the only nearest one with dates that it belongs to."""
    level, seen = [mine], {mine.record.name}
    while level:
        if dated := [each.record for each in level if _has_dates(each.record.shape)]:
            return dated[0] if len(dated) == 1 else mine.record
        above = {
            end.record.name: end for each in level for number, end in each.ends if each.record.shape.links[number].owns
        }
        level = [end for name, end in above.items() if name not in seen]  # records may belong to one another
        seen |= above.keys()
    return mine.record


def _longer(one: Stay, other: Stay) -> bool:
    return (one.longest, one.whole, one.rule) > (other.longest, other.whole, other.rule)


def _fields(shape: Shape, rule: Rule) -> frozenset[str]:
    """Returns the fields that a rule keeps of a record: all declared ones, if it names none."""
    return rule.fields or shape.keeps or frozenset()


def _said(telling: Iterable[Mine]) -> Mapping[tuple[str, str], bool | None]:
    """Returns whether each state lasts, by place and word of the policy."""
    said: dict[tuple[str, str], bool | None] = {}
    for mine in telling:
        shape = mine.record.shape
        for state, lasts in zip(shape.states, mine.record.states, strict=True):
            if state.word:
                key = (shape.place, state.word)
                said[key] = lasting(said.get(key, False), lasts)
    return said


def _announced(task: Task, rule: str) -> list[Period]:
    said = task.details.get(ANNOUNCED)
    here = said.get(task.system) if isinstance(said, Mapping) else None
    period = here.get(rule) if isinstance(here, Mapping) else None
    return [parse_period(period)] if isinstance(period, str) else []


def _unsigned_rows(
    rows: Mapping[str, int],
    of_rule: Mapping[tuple[str, str], int],
    allowed: int,
    rules: Mapping[str, Rule],
    today: date,
) -> RuleUnsigned | None:
    """Returns why nothing may be deleted yet: rows to which unsigned rules apply.

    ``rows``: by category; ``of_rule``: by category and rule.
    """
    if (n := sum(rows.values())) <= allowed:
        return None
    counts = ", ".join(f"{held}: {each:,}" for held, each in sorted(rows.items()))
    about = {rule: rules[rule] for _, rule in sorted(of_rule)}
    why = RuleUnsigned(
        f"{n:,} rows ({counts}) are what {', '.join(sorted(about))} is about, {not_signed(about, today)}: nothing was"
        " done; have it signed, or confirm that they go",
        Exceeded(limit=Limit.UNSIGNED_ROWS, found=n, allowed=allowed),
    )
    each_rule = sorted(of_rule.items())
    why.unsigned = tuple(Kept(category=held, rule=rule, count=each) for (held, rule), each in each_rule)
    return why


# Reports of what stays.


@dataclass
class _Sum:
    category: str
    stays: list[Stay] = field(default_factory=list)
    count: int = 0
    restricted: int | None = None


def kept(records: Iterable[tuple[Mine, Stay]], restricted: Mapping[Name, bool] | None = None) -> tuple[Kept, ...]:
    """Returns the counts of records that stay, by place: kept by a rule, without a date, or led to.

    ``restricted``: for records that only a legal hold keeps, whether they show the restriction. What a state keeps
    reduced is restricted too.
    """
    alike: dict[tuple[str, int], _Sum] = {}  # many records share one reason to stay
    for mine, stay in records:
        record = mine.record
        known = alike.get(key := (record.shape.place, id(stay)))
        if known is None:
            known = alike[key] = _Sum(record.shape.category, [stay])
        known.count += record.rows
        if restricted and (shows := restricted.get(record.name)) is not None:
            known.restricted = (known.restricted or 0) + shows
    sums: dict[tuple[str, str, bool, bool, bool], _Sum] = {}
    for (place, _), each in alike.items():
        [stay] = each.stays
        group = (place, stay.rule, stay.shown is not False, stay.last is not None, stay.led)
        if (total := sums.setdefault(group, each)) is not each:
            total.stays.append(stay)
            total.count += each.count
            if each.restricted is not None:
                total.restricted = (total.restricted or 0) + each.restricted
    places = {place: n for n, place in enumerate(dict.fromkeys(place for place, *_ in sums))}

    def turn(each: tuple[str, str, bool, bool, bool]) -> tuple[object, ...]:
        stay, (place, rule, shown, dated, _) = sums[each].stays[0], each
        near = -places[place] if stay.led else places[place]  # a record comes after those that it leads to
        return stay.led, stay.rule != LEGAL_HOLD, not stay.lasts, near, rule, not shown, not dated

    return tuple(_kept(sums[each]) for each in sorted(sums, key=turn))


def _kept(each: _Sum) -> Kept:
    stay = each.stays[0]
    return Kept(
        category=each.category,
        rule=stay.rule,
        count=each.count,
        first=min((one.last for one in each.stays if one.last), default=None),
        last=max((one.last for one in each.stays if one.last), default=None),
        reduced=min((one.reduced for one in each.stays if one.reduced), default=None),
        anchor=min((one.anchor for one in each.stays if one.anchor), default=None),
        period=None if stay.lasts else stay.period,
        shown=stay.shown,
        restricted=each.count if stay.lasts and not any(one.whole for one in each.stays) else each.restricted,
    )
