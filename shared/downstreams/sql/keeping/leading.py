"""Rows that lead to what a rule keeps stay with it: without them nobody could tell whose it is when its day comes.

So do rows of the same person to which it refers by a foreign key: the store lets them go no earlier. They are reduced
to what finds them, and go with the last row that they lead to.
"""

# ruff: noqa: S608 - names are quoted

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from graphlib import CycleError

from shared.domain.operations import Kept
from shared.downstreams.sql.declaration.declared import Join
from shared.downstreams.sql.declaration.graph import led_first
from shared.downstreams.sql.finding.paths import Hop, Pair
from shared.downstreams.sql.finding.searching import Path
from shared.downstreams.sql.keeping.counting import Rows
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.references import Reference, of_one_person
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session


@dataclass(frozen=True)
class Leading:
    """A table of which rows lead to what rules keep elsewhere; ``because``: the tables of these rules.

    ``past``: which of its rows nothing else keeps, as a condition that goes on. ``whole``: they stay as they are, since
    what they lead to does.
    """

    table: Statements
    leads: str
    because: frozenset[str]
    today: date
    past: str = ""
    whole: bool = False

    @property
    def stays(self) -> str:
        """That a row leads to one that stays."""
        return f"({self.leads})"

    @cached_property
    def within(self) -> Statements:
        return replace(self.table, also=f"{self.table.also}{self.past} AND {self.stays}")

    @property
    def kept_columns(self) -> frozenset[str]:
        """What is left of a row besides what finds it: nothing."""
        return frozenset()

    def kept(self, rows: Rows, told: Mapping[str, Sequence[Kept]]) -> Kept:
        """What is told of them: they stay as long as what they lead to, of which ``told`` says by table until when."""
        led = [each for name, said in told.items() if name in self.because for each in said]
        longest = max(led, key=lambda each: (each.last is None, each.last or date.min), default=None)
        if longest is None:  # what they led to has gone since it was looked at: so may they, when they are looked at
            longest = Kept(category=None, rule=min(self.because), count=0, first=self.today, last=self.today)
        begins = [each.first for each in led if each.first is not None]
        first = longest.last if rows.count == 1 else min(begins, default=longest.first)
        here = {"category": self.table.table.category, "count": rows.count, "first": first, "reduced": None}
        return longest.model_copy(update=here)


def leading(session: Session, rules: Sequence[Ruled | Held]) -> list[Leading]:
    """The tables whose rows lead to what these rules and holds keep, each after those to which it leads."""
    tables = {table.name: table for table in session.tables}
    own = {name: [each for each in rules if each.table.name == name] for name in {each.table.name for each in rules}}
    tied = [key for key in session.references.keys if of_one_person(key, {n: t.table for n, t in tables.items()})]
    if not any(each.table.paths or any(key.child == each.table.name for key in tied) for each in rules):
        return []
    leads: dict[str, list[tuple[str, frozenset[str]]]] = {}
    found: list[Leading] = []
    for name in _in_order(tables, tied):
        table, ruled = tables[name], own.get(name, [])
        stays = [each.stays for each in ruled]
        because = frozenset({name}) if ruled else frozenset[str]()
        whole = any(each.whole for each in ruled)
        if name in leads:
            condition = " OR ".join(each for each, _ in leads[name])
            of = frozenset[str]().union(*(names for _, names in leads[name]))
            sources = [each for each in rules if each.table.name in of]
            whole = whole or any(each.whole for each in sources)
            led_whole = any(each.whole for each in sources)
            found.append(
                Leading(table, condition, of, sources[0].today, "".join(each.past for each in ruled), led_whole)
            )
            stays, because = [*stays, found[-1].stays], because | of
        for at, path in enumerate(table.paths) if stays else ():
            for place, condition in _along(table, table.table.paths[at][1], path, " OR ".join(stays)):
                if place in tables:
                    leads.setdefault(place, []).append((condition, because))
        for key in (key for key in tied if key.child == name) if stays else ():
            if whole or tables[key.parent].table.kept:  # else nothing could say of it that it is kept
                condition = _refers(table, tables[key.parent], key, " OR ".join(stays))
                leads.setdefault(key.parent, []).append((condition, because))
    return found


def _in_order(tables: Mapping[str, Statements], tied: list[Reference]) -> Sequence[str]:
    """The names of the tables, each before those to which its rows lead or refer; in a circle, before the former."""
    declared = {name: table.table for name, table in tables.items()}
    try:
        return led_first(declared, [(key.child or "", key.parent) for key in tied])
    except CycleError:
        tied.clear()
        return led_first(declared)


def _refers(table: Statements, parent: Statements, key: Reference, stays: str) -> str:
    """That a row of the parent (``t``) is one to which a row that stays refers."""
    near, far = table.relation.types, parent.relation.types
    pairs = tuple(Pair.of(a, near[a], b, far[b]) for a, b in zip(key.columns, key.to, strict=True))
    hop = Hop(parent.source, pairs, (), (), to_one=True)
    led = f"SELECT {hop.near('t')} FROM {table.source} t WHERE ({stays}){table.theirs}"
    return _exists(led, hop, "t")


def _along(table: Statements, joins: Sequence[Join], path: Path, stays: str) -> Iterator[tuple[str, str]]:
    """By table on a path, that one of its rows (``t``) leads to a row that stays.

    Each row is looked at by itself, by the index of what refers to it: ``OFFSET 0`` keeps PostgreSQL from joining all.
    """
    first = path.hops[0]
    led = f"SELECT {first.near('t')} FROM {table.source} t WHERE ({stays}){table.theirs}{first.meets('t')}"
    for n, hop in enumerate(path.hops):
        yield joins[n].table, _exists(led, hop, "t")
        if n + 1 < len(path.hops):
            farther = path.hops[n + 1]
            where = f"{_exists(led, hop, 'x')}{farther.meets('x')}"
            led = f"SELECT {farther.near('x')} FROM {hop.source} x WHERE {where}"


def _exists(led: str, hop: Hop, alias: str) -> str:
    same = " AND ".join(f"dsr_k.dsr_j{i} = {alias}.{pair.far}" for i, pair in enumerate(hop.pairs))
    return f"EXISTS (SELECT FROM ({led}) dsr_k WHERE {same} OFFSET 0){hop.only(alias)}"
