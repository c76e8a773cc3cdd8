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
from shared.systems.engine.ownership import OwnedRecord, SubjectRecords, as_utc, wall_clock
from shared.systems.engine.records import Record, RecordName, RecordTime, Shape, TimeFormat
from shared.systems.states import ErasureRefused, combine_reports, country_unknown, start_unknown, state_unknown

ANNOUNCED: Final = "announced"
"""Key of a deferred erasure's details: the period that was announced, by system and rule; it never becomes longer."""
_NEVER: Final = date.max
_EVER: Final = datetime.min.replace(tzinfo=UTC)
_UTC: Final = TimeFormat("instant", ZoneInfo("UTC"))


class RuleUndeclared(SystemRefused):
    """The policy requires something other than deletion in a place, and the declaration does not say how."""


class Retention(NamedTuple):
    """The retention of one record: the rule and the fields that it keeps.

    ``complete``: it stays complete and in use; otherwise it is reduced to ``fields`` and restricted. ``while_state``:
    it stays while a state lasts. ``last_day``: its last day; None: unknown. ``reduced_on``: the day on which a shorter
    rule ends and it is reduced further. ``country_shown``: for a rule of one country, whether the record names that
    country. ``via_link``: it stays because of another record.
    """

    rule: str
    complete: bool
    fields: frozenset[str] = frozenset()
    while_state: bool = False
    last_day: date | None = None
    reduced_on: date | None = None
    anchor: date | None = None
    period: str | None = None
    country_shown: bool | None = None
    via_link: bool = False

    @property
    def latest_day(self) -> date:
        """Returns the last day for comparisons; unknown counts as never."""
        return self.last_day or _NEVER


_ON_HOLD: Final = Retention(LEGAL_HOLD, complete=True, while_state=True)
Retentions = Mapping[RecordName, Retention]


@dataclass(frozen=True)
class _AppliedRule:
    """A rule applied to one task and place; it keeps records that began at or after ``since``."""

    name: str
    rule: Rule
    countries: frozenset[str] | None
    in_force: bool
    anchor: int | None = None
    clock: TimeFormat = _UTC
    period: Period | None = None
    zone: str = "UTC"
    since: RecordTime | None = None
    begins: datetime = _EVER

    def start(self, record: Record) -> RecordTime | None:
        """Returns the time from which the period counts."""
        return record.at if self.anchor is None else record.anchors[self.anchor]

    def is_within_period(self, record: Record) -> bool | None:
        """Whether a record is within the period; None: it has no time, and every rule keeps it."""
        if (at := self.start(record)) is None:
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

    def country_shown(self, record: Record) -> bool | None:
        """Whether a record names a country of the rule; None: the rule applies in every country."""
        return None if self.countries is None else record.country in self.countries

    def day(self, moment: RecordTime) -> date:
        """Returns the local day of an anchor in the zone of the period."""
        if not isinstance(moment, datetime):
            return moment
        return as_utc(moment, self.clock.zone).astimezone(ZoneInfo(self.zone)).date()

    def last_day(self, day: date) -> date | None:
        """Returns the last day on which the rule keeps a record with that anchor."""
        return _last_day(self.period, day, self.zone) if self.period else None


@dataclass
class _Decision:
    """The rules that keep records of one pattern, the longest first, and the rule that keeps them by a state."""

    rules: Sequence[_AppliedRule]
    by_state: _AppliedRule | None
    complete: bool
    unsigned: tuple[tuple[str, str], ...]
    _retentions: dict[tuple[date | None, date | None], Retention] = field(default_factory=dict)
    _fields: frozenset[str] | None = None

    def retention(self, record: Record, dated: Record) -> Retention:
        """Returns why a record stays, by the dates of ``dated``; cached, since many records share a day."""
        longest, shortest = self.rules[0], self.rules[-1]
        moment = None if self.by_state else longest.start(dated)
        day = longest.day(moment) if moment else None
        first = day if shortest is longest or moment is None else shortest.day(moment)
        if (retention := self._retentions.get((day, first))) is None:
            retention = self._retentions[day, first] = self._new_retention(record, day, first)
        return retention

    def _new_retention(self, record: Record, day: date | None, first: date | None) -> Retention:
        longest, shortest = self.rules[0], self.rules[-1]
        if self.by_state:
            shown = self.by_state.country_shown(record)
            return Retention(
                self.by_state.name, self.complete, self._fields_of(record), while_state=True, country_shown=shown
            )
        known = day is not None and first is not None
        return Retention(
            *(longest.name, self.complete, self._fields_of(record), False),
            longest.last_day(day) if day and known else None,
            shortest.last_day(first) if first and known and shortest is not longest else None,
            first if known else None,
            str(longest.period),
            longest.country_shown(record),
        )

    def _fields_of(self, record: Record) -> frozenset[str]:
        if self._fields is None:
            self._fields = frozenset[str]().union(*(_fields(record.shape, each.rule) for each in self.rules))
        return self._fields


@lru_cache(4096)
def _last_day(period: Period, began: date, zone: str) -> date:
    """Returns the last day of a period; cached, since many records share a day."""
    return release(period, began, zone).last_day


def erasure_effect(shape: Shape, policy: Policy) -> OnErasure:
    """Returns what the policy does with the company's own records of a place."""
    category = policy.category(shape.category)
    if category is None or (category.is_customers and shape.owners is not None):
        return OnErasure.DELETE
    return category.on_erasure


class RetentionDecider:
    """Decides which records of one subject are retained, by rules, holds and states together.

    ``policy``: None where no rule applies. Rules never apply to data that a customer controls.
    """

    def __init__(self, system: str, policy: Policy | None, found: SubjectRecords) -> None:
        self._system, self._found, self._task = system, found, found.task
        self._policy = policy if policy and found.task.tenant is None else None
        self._state_records = [owned for owned in found.records.values() if owned.record.shape.states]
        self._states_by_place = _reported_states(self._state_records)
        self._rules: dict[tuple[str, str], Sequence[_AppliedRule]] = {}
        self._states: dict[str, States] = {}
        self._decisions: dict[tuple[Any, ...], _Decision] = {}
        self._problem: Refused | None = None
        self._unsigned = Counter[str]()
        self._unsigned_of = Counter[tuple[str, str]]()

    def states(self, shapes: Iterable[Shape]) -> States | None:
        """Returns which states of the policy last; None where none is declared, or for a customer's data."""
        states: dict[str, bool | None] = {}
        for shape in shapes:
            for word in (state.word for state in shape.states if state.word):
                states[word] = combine_reports(
                    states.get(word, False), self._states_by_place.get((shape.place, word), False)
                )
        return states if states and self._task.tenant is None else None

    def retained(self) -> dict[RecordName, Retention]:
        """Returns the records that stay.

        Raises:
            ErasureRefused: the state of a record forbids every erasure of the subject
            GroundUnknown: such a state, or a state or country that a rule depends on, is unknown
            RuleUnsigned: a rule that would keep records is unsigned, and two people have not confirmed the deletion
        """
        retained: dict[RecordName, Retention] = {}
        self._refuse(lambda owned, word: self._covered(owned) or word in self._states_of_rules(owned), retained=None)
        for name, owned in self._found.records.items():
            if retention := self._retention(owned):
                retained[name] = retention
        if self._problem:
            raise self._problem
        if self._policy:
            today = self._policy.today(self._task.at) if self._task.at else date.min
            allowed = self._task.confirmed.get(Limit.UNSIGNED_ROWS, 0)
            if refused := _unsigned_rows(self._unsigned, self._unsigned_of, allowed, self._policy.rules, today):
                raise refused
        self._refuse(
            lambda owned, word: word in self._states_of_rules(owned) or retained[owned.record.name].rule == LEGAL_HOLD,
            retained,
        )
        return self._with_linked(retained)

    def _states_of_rules(self, owned: OwnedRecord) -> frozenset[str | None]:
        return frozenset(self._policy.lasting(owned.record.shape.category)) if self._policy else frozenset()

    def _covered(self, owned: OwnedRecord) -> bool:
        return self._policy is not None and owned.record.shape.category in self._task.held_categories

    def _refuse(self, is_fine: Callable[[OwnedRecord, str], bool], retained: Retentions | None) -> None:
        """Raises if the state of a record forbids the erasure, or is unknown."""
        unclear: GroundUnknown | None = None
        for owned in self._state_records:
            shape = owned.record.shape
            for state, is_lasting in zip(shape.states, owned.record.states, strict=True):
                fine = (retained is None or owned.record.name in retained) and state.word is not None
                if is_lasting and not (fine and is_fine(owned, state.word or "")):
                    raise ErasureRefused(
                        f"{self._system} has a row of {shape.place} that must stay now: {state.reason}"
                    )
                if is_lasting is None and unclear is None:
                    unclear = GroundUnknown(
                        f"{self._system} has a row of {shape.place} that does not say whether {state.reason}: enter it"
                        " there, or declare its word, and try again; nothing was done"
                    )
        if unclear:
            raise unclear

    def _retention(self, owned: OwnedRecord) -> Retention | None:
        record, shape = owned.record, owned.record.shape
        if self._policy is None:
            return None
        if shape.category in self._task.held_categories:
            return _ON_HOLD
        dated = record if shape.clock else _dated(owned)
        places = shape.place, dated.shape.place
        if (rules := self._rules.get(places)) is None:
            rules = self._rules[places] = self._rules_of(self._policy, shape, dated.shape)
        if not rules:
            return None
        pattern = (*places, record.states, record.country, *[rule.is_within_period(dated) for rule in rules])
        decided = self._decisions.get(pattern)
        if decided is None:
            decided = self._decisions[pattern] = self._decide(self._policy, record, dated, rules)
        if decided.unsigned:
            self._unsigned[shape.category] += record.rows
            self._unsigned_of.update(dict.fromkeys(decided.unsigned, record.rows))
        return decided.retention(record, dated) if decided.rules else None

    def _decide(self, policy: Policy, record: Record, dated: Record, rules: Sequence[_AppliedRule]) -> "_Decision":
        """Returns the rules in force that keep records of this pattern."""
        shape, keepers, by_state = record.shape, list[_AppliedRule](), list[_AppliedRule]()
        states = self._lasting_states(record)
        for each in (each for each in rules if each.concerns(record)):
            state = each.rule.lasts_while or ""
            is_lasting = states.get(state, False)
            if each.rule.period is None and is_lasting is not True:
                if is_lasting is None:
                    self._note_problem(GroundUnknown(state_unknown(self._system, shape.category, each.name, state)))
                continue
            if each.is_within_period(dated) is False:
                continue
            if each.country_shown(record) is False and each.rule.where_unknown is WhereUnknown.ASK:
                explanation = country_unknown(self._system, shape.category, each.name, each.countries or ())
                self._note_problem(GroundUnknown(explanation))
            if each.in_force:
                keepers.append(each)
                by_state += [each] if each.rule.period is None else []
        whole = shape.kept_complete or any(not each.rule.fields for each in by_state)
        named_rule = next((each for each in reversed(by_state) if not each.rule.fields), None) or next(
            iter(by_state), None
        )
        if not by_state:
            whole = shape.kept_complete or erasure_effect(shape, policy) is OnErasure.KEEP
            for each in keepers if not _has_dates(shape) else ():
                if each.start(dated) is None:
                    self._note_problem(
                        GroundUnknown(start_unknown(self._system, shape.category, each.name, each.rule.anchor))
                    )
        unsigned = tuple((shape.category, each.name) for each in rules if self._is_unsigned(each, record))
        return _Decision(sorted(keepers, key=lambda each: each.begins), named_rule, whole, unsigned)

    def _note_problem(self, problem: Refused) -> None:
        self._problem = self._problem or problem

    def _is_unsigned(self, each: _AppliedRule, record: Record) -> bool:
        """Whether an unsigned rule applies to a record, even past its period."""
        is_lasting = self._lasting_states(record).get(each.rule.lasts_while or "", False)
        return not each.in_force and each.concerns(record) and bool(each.rule.period or is_lasting)

    def _lasting_states(self, record: Record) -> States:
        """Returns the states that last for a record: its own, other places' and other systems'."""
        shape = record.shape
        if (of_others := self._states.get(shape.place)) is None:
            reported: dict[str, bool | None] = {**self._task.states}
            for (place, word), is_lasting in self._states_by_place.items():
                if place != shape.place:
                    reported[word] = combine_reports(reported.get(word, False), is_lasting)
            of_others = self._states[shape.place] = reported
        if not record.states:
            return of_others
        own = dict(of_others)
        for state, is_lasting in zip(shape.states, record.states, strict=True):
            if state.word:
                own[state.word] = combine_reports(own.get(state.word, False), is_lasting)
        return own

    def _rules_of(self, policy: Policy, shape: Shape, dated: Shape) -> Sequence[_AppliedRule]:
        category = policy.category(shape.category)
        kept_by = category.kept_by if category and not category.is_customers and not shape.never_kept else ()
        by_state = (name for name in kept_by if not shape.kept_complete or policy.rules[name].period is None)
        return [self._ruled(policy, dated, name) for name in by_state]

    def _ruled(self, policy: Policy, shape: Shape, name: str) -> _AppliedRule:
        rule, task = policy.rules[name], self._task
        if task.at is None:
            raise ValueError(f"{self._system}: a task of which {name} may keep something needs its instant")
        zone = policy.zone_of(rule)
        today = task.at.astimezone(ZoneInfo(zone)).date()
        countries = policy.countries_of(rule)
        if rule.period is None:
            return _AppliedRule(name, rule, countries, rule.signed(today))
        announced = _announced(task, name)
        announced_only = bool(announced) and not rule.signed(today) and not task.confirmed.get(Limit.UNSIGNED_ROWS)
        period = min(
            announced if announced_only and announced else [rule.period, *announced], key=lambda each: each.about_days
        )
        names = [anchor for anchor, _ in shape.anchors]
        anchor = names.index(rule.anchor) if rule.anchor in names else None
        clock = (shape.clock if anchor is None else shape.anchors[anchor][1]) or _UTC
        in_force = announced_only or rule.signed(today)
        day = first_kept(period, today)
        begins = datetime.combine(day, time(), ZoneInfo("UTC" if clock.kind == "day" else zone))
        since: RecordTime = day if clock.kind == "day" else begins
        if clock.kind == "wall":
            since = wall_clock(begins, clock.zone, earliest=True)
        return _AppliedRule(name, rule, countries, in_force, anchor, clock, period, zone, since, begins)

    def _with_linked(self, retained: dict[RecordName, Retention]) -> dict[RecordName, Retention]:
        """Returns the records with those that they lead to, each kept as long as the last that needs it.

        Records that stay by their own rule are followed too: that rule may end earlier.
        """
        found, latest, waiting = dict(retained), dict(retained), [*retained]
        while waiting:
            name = waiting.pop()
            retention, record = latest[name], self._found.records[name].record
            for number, target in self._found.records[name].linked:
                link = record.shape.links[number]
                if not link.joins and not (retention.complete or target.record.shape.flags[2]):
                    continue  # its record cannot be marked as kept
                needed = retention.fields & link.fields
                is_left_out = target.record.shape.never_kept if retention.complete else not needed
                if link.fields and is_left_out and not link.owns:
                    continue
                if target.record.name not in self._found.records:
                    continue  # it has gone
                above, known = target.record.name, latest.get(target.record.name)
                linked = retention._replace(fields=needed, reduced_on=None, via_link=True)
                if known is None or _is_longer(linked, known):
                    linked = linked._replace(complete=linked.complete or (known is not None and known.complete))
                    latest[above] = linked
                    waiting.append(above)
                    if above not in retained:
                        found[above] = linked
        return found

    def only_on_hold(self, retained: Retentions) -> frozenset[RecordName]:
        """Returns records that only a legal hold keeps, and what they lead to: these are restricted.

        Records that a state keeps in use, such as an active contract, and the customer that they need are not
        restricted.
        """
        if not self._task.held_categories:
            return frozenset()
        without_hold = RetentionDecider(
            self._system, self._policy, replace(self._found, task=replace(self._task, held_categories=frozenset()))
        )
        used_places = {
            owned.record.shape.place for owned in self._found.records.values() if without_hold.is_used(owned.record)
        }
        needed, fresh = set[RecordName](), [name for name in retained if name[0] in used_places]
        while fresh:
            if (name := fresh.pop()) not in needed and name in self._found.records:
                needed.add(name)
                fresh += [end.record.name for _, end in self._found.records[name].linked]
        return frozenset(
            name for name, retention in retained.items() if retention.rule == LEGAL_HOLD and name not in needed
        )

    def is_used(self, record: Record) -> bool:
        """Whether a state keeps, or may keep, a record complete."""
        states = self._lasting_states(record)
        for each in self._rules_of(self._policy, record.shape, record.shape) if self._policy else ():
            is_lasting = states.get(each.rule.lasts_while or "", False)
            if each.rule.period is None and is_lasting is not False and not each.rule.fields and each.concerns(record):
                return True
        return False


def _has_dates(shape: Shape) -> bool:
    return shape.clock is not None or bool(shape.anchors)


def _dated(owned: OwnedRecord) -> Record:
    """Returns the record whose dates count: itself, or the only nearest one with dates that it belongs to."""
    level, seen = [owned], {owned.record.name}
    while level:
        if dated := [each.record for each in level if _has_dates(each.record.shape)]:
            return dated[0] if len(dated) == 1 else owned.record
        above = {
            end.record.name: end
            for each in level
            for number, end in each.linked
            if each.record.shape.links[number].owns
        }
        level = [end for name, end in above.items() if name not in seen]  # records may belong to one another
        seen |= above.keys()
    return owned.record


def _is_longer(one: Retention, other: Retention) -> bool:
    return (one.latest_day, one.complete, one.rule) > (other.latest_day, other.complete, other.rule)


def _fields(shape: Shape, rule: Rule) -> frozenset[str]:
    """Returns the fields that a rule keeps of a record: all declared ones, if it names none."""
    return rule.fields or shape.kept_fields or frozenset()


def _reported_states(state_records: Iterable[OwnedRecord]) -> Mapping[tuple[str, str], bool | None]:
    """Returns whether each state lasts, by place and word of the policy."""
    states: dict[tuple[str, str], bool | None] = {}
    for owned in state_records:
        shape = owned.record.shape
        for state, is_lasting in zip(shape.states, owned.record.states, strict=True):
            if state.word:
                key = (shape.place, state.word)
                states[key] = combine_reports(states.get(key, False), is_lasting)
    return states


def _announced(task: Task, rule: str) -> list[Period]:
    announced = task.details.get(ANNOUNCED)
    rules = announced.get(task.system) if isinstance(announced, Mapping) else None
    period = rules.get(rule) if isinstance(rules, Mapping) else None
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
    counts = ", ".join(f"{category}: {each:,}" for category, each in sorted(rows.items()))
    named = {rule: rules[rule] for _, rule in sorted(of_rule)}
    refusal = RuleUnsigned(
        f"{n:,} rows ({counts}) are what {', '.join(sorted(named))} is about, {not_signed(named, today)}: nothing was"
        " done; have it signed, or confirm that they go",
        Exceeded(limit=Limit.UNSIGNED_ROWS, found=n, allowed=allowed),
    )
    each_rule = sorted(of_rule.items())
    refusal.unsigned = tuple(Kept(category=category, rule=rule, count=each) for (category, rule), each in each_rule)
    return refusal


# Reports of what stays.


@dataclass
class _RetainedGroup:
    category: str
    retentions: list[Retention] = field(default_factory=list)
    count: int = 0
    restricted: int | None = None


def retained_counts(
    records: Iterable[tuple[OwnedRecord, Retention]], restricted: Mapping[RecordName, bool] | None = None
) -> tuple[Kept, ...]:
    """Returns the counts of records that stay, by place: kept by a rule, without a date, or led to.

    ``restricted``: for records that only a legal hold keeps, whether they show the restriction. What a state keeps
    reduced is restricted too.
    """
    groups: dict[tuple[str, int], _RetainedGroup] = {}  # many records share one reason to stay
    for owned, retention in records:
        record = owned.record
        same = groups.get(key := (record.shape.place, id(retention)))
        if same is None:
            same = groups[key] = _RetainedGroup(record.shape.category, [retention])
        same.count += record.rows
        if restricted and (is_shown := restricted.get(record.name)) is not None:
            same.restricted = (same.restricted or 0) + is_shown
    sums: dict[tuple[str, str, bool, bool, bool], _RetainedGroup] = {}
    for (place, _), each in groups.items():
        [retention] = each.retentions
        group = (
            place,
            retention.rule,
            retention.country_shown is not False,
            retention.last_day is not None,
            retention.via_link,
        )
        if (total := sums.setdefault(group, each)) is not each:
            total.retentions.append(retention)
            total.count += each.count
            if each.restricted is not None:
                total.restricted = (total.restricted or 0) + each.restricted
    places = {place: n for n, place in enumerate(dict.fromkeys(place for place, *_ in sums))}

    def sort_key(each: tuple[str, str, bool, bool, bool]) -> tuple[object, ...]:
        retention, (place, rule, shown, dated, _) = sums[each].retentions[0], each
        near = -places[place] if retention.via_link else places[place]  # a record comes after those that it leads to
        return (
            retention.via_link,
            retention.rule != LEGAL_HOLD,
            not retention.while_state,
            near,
            rule,
            not shown,
            not dated,
        )

    return tuple(_kept(sums[each]) for each in sorted(sums, key=sort_key))


def _kept(each: _RetainedGroup) -> Kept:
    retention = each.retentions[0]
    return Kept(
        category=each.category,
        rule=retention.rule,
        count=each.count,
        first=min((one.last_day for one in each.retentions if one.last_day), default=None),
        last=max((one.last_day for one in each.retentions if one.last_day), default=None),
        reduced=min((one.reduced_on for one in each.retentions if one.reduced_on), default=None),
        anchor=min((one.anchor for one in each.retentions if one.anchor), default=None),
        period=None if retention.while_state else retention.period,
        shown=retention.country_shown,
        restricted=each.count
        if retention.while_state and not any(one.complete for one in each.retentions)
        else each.restricted,
    )
