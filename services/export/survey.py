"""Counts what a package will hold, category by category, while its records are read the first time; pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from services.export.pieces import Piece
from shared.domain.operations import TaskOutcome, TaskReport
from shared.domain.release import LEFT, withholds

SHOWN = 100
"""The rows of a category that the report shows; its table has all."""
_KINDS: Mapping[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}


@dataclass(slots=True)
class SurveyedCategory:
    """The content of one category: rows by system and place, its fields and the JSON types of each.

    ``first``: the first rows. ``withheld``: in how many rows something of other people's is hidden, and ``hidden``
    which fields, by whose part it is; ``added``: how many the subject has not provided; ``ours``: fields that they have
    not, of rows that they have; ``left``: of how many an erasure has left what a rule keeps. ``anchors``: the first and
    the last moment from which periods of the policy count, as ISO 8601, by what the policy calls it; ``dated``: how
    many rows have one. ``states``: which of the states by which its rules keep lasts for any of them; None where that
    is not known.
    """

    rows: int = 0
    withheld: int = 0
    hidden: Counter[tuple[str, str]] = field(default_factory=Counter)
    added: int = 0
    ours: set[str] = field(default_factory=set)
    left: int = 0
    sources: Counter[tuple[str, str]] = field(default_factory=Counter)
    fields: dict[str, set[str]] = field(default_factory=dict)
    first: list[Piece] = field(default_factory=list)
    anchors: dict[str, tuple[str, str]] = field(default_factory=dict)
    dated: Counter[str] = field(default_factory=Counter)
    states: dict[str, bool | None] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """Returns the names of its systems."""
        return sorted({system for system, _ in self.sources})

    def add(self, piece: Piece) -> None:
        """Counts one more."""
        self.rows += 1
        self.sources[piece.system, piece.source] += 1
        self.withheld += withholds(piece.data)
        self.hidden.update(piece.hidden.items())
        is_left = piece.states.get(LEFT) is True
        self.left += is_left
        self.added += not piece.provided and not is_left
        self.ours.update(name for name in piece.ours if piece.data.get(name) is not None)
        for name, value in piece.data.items():
            kinds = self.fields.get(name)
            if kinds is None:
                kinds = self.fields[name] = set()
            kinds.add(_kind(value))
        for name, moment in piece.anchors.items():
            first, last = self.anchors.get(name, (moment, moment))
            self.anchors[name] = min(first, moment), max(last, moment)
            self.dated[name] += 1
        for name, lasts in piece.states.items():
            self.states[name] = lasting([self.states.get(name, False), lasts])
        if len(self.first) < SHOWN:
            self.first.append(replace(piece, attached=None) if piece.attached else piece)


def lasting(said: Collection[bool | None]) -> bool | None:
    """Combines what several places say about a state; None if unknown."""
    return True if True in said else None if None in said else False


def count(pieces: Iterable[Piece], known: dict[str, SurveyedCategory]) -> set[str]:
    """Counts these with what is known; returns the categories that they are of."""
    met = set()
    for piece in pieces:
        if (category := known.get(piece.category)) is None:
            category = known[piece.category] = SurveyedCategory()
        category.add(piece)
        met.add(piece.category)
    return met


def handed_out(report: TaskReport, known: Mapping[str, SurveyedCategory]) -> TaskReport:
    """Returns the report of a system with how many of its records are in a portability package."""
    if report.outcome != TaskOutcome.EXPORTED or report.by_hand:
        return report
    rows = {
        name: sum(rows for (system, _), rows in category.sources.items() if system == report.system)
        for name, category in sorted(known.items())
    }
    return report.model_copy(update={"handed_out": {name: n for name, n in rows.items() if n}})


def _kind(value: JsonValue) -> str:
    return "null" if value is None else _KINDS[type(value)]
