"""The rows of a table by the state whose law they are under, as conditions that are never NULL (REQ-R3)."""

# ruff: noqa: S608 - names are quoted, and what a dataset declares is a literal

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.downstreams.sql.declaration.jurisdiction import Jurisdiction
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements


def under(table: Statements, country: str) -> str:
    """That a row is known to be under the law of that state; of a table that says no state, no row is."""
    declared = table.table.jurisdiction
    words = declared.words_of({country}) if declared else []
    return _says(table, declared, words) if declared and words else "false"


def undetermined(table: Statements) -> str:
    """That nobody can tell which state's law a row is under."""
    declared = table.table.jurisdiction
    return f"NOT {_says(table, declared, list(declared.meanings))}" if declared else "true"


@dataclass(frozen=True, slots=True)
class Area:
    """Some rows of a table, as a condition; empty: all of them.

    ``may_be_of``: the states whose law they may be under, of those that are asked about; ``is_of``: the one whose it
    is, where they say so.
    """

    rows: str
    may_be_of: frozenset[str]
    is_of: str | None = None


def areas(table: Statements, countries: Collection[str]) -> Sequence[Area]:
    """The rows of a table, each in one of these, with those of the states whose law it may be under.

    What does not tell is under any of them, so that it is kept as long as the longest rule has it; so may every row be
    under the law of a state that no word means. An empty condition is all rows: where no state is asked about, or the
    table says none.
    """
    declared, asked = table.table.jurisdiction, frozenset(countries)
    told = asked.intersection(declared.meanings.values()) if declared else frozenset[str]()
    if declared is None or not told:
        return [Area("", asked)]
    never = asked - told
    found = [Area(under(table, country), frozenset({country}) | never, country) for country in sorted(told)]
    others = frozenset(declared.meanings.values()) - told
    elsewhere = Area(_says(table, declared, declared.words_of(others)), never)
    return [*found, elsewhere, Area(undetermined(table), asked)]


def _says(table: Statements, declared: Jurisdiction, words: Sequence[str]) -> str:
    return f"coalesce({_word(table, declared)} IN ({', '.join(map(literal, sorted(words)))}), false)"


def _word(table: Statements, declared: Jurisdiction) -> str:
    """What a row says, as ``as_word`` has it; of one that leads to several that say different things, nothing."""
    hops = table.to_jurisdiction
    said = f'upper(btrim({{}}.{quoted(declared.column)}::text)) COLLATE "C"'
    if not hops:
        return said.format("t")
    joined = "".join(
        f" JOIN {farther.source} x{n} ON {farther.joined_to(f'x{n - 1}', f'x{n}')}{nearer.only(f'x{n - 1}')}"
        for n, (nearer, farther) in enumerate(pairwise(hops), 1)
    )
    last = len(hops) - 1
    found = (
        f"SELECT {said.format(f'x{last}')} AS w FROM {hops[0].source} x0{joined}"
        f" WHERE {hops[0].joined_to('t', 'x0')}{hops[last].only(f'x{last}')}"
    )
    return f"(SELECT CASE WHEN count(*) = count(w) AND min(w) = max(w) THEN min(w) END FROM ({found}) dsr_w)"
