"""By which foreign keys the rows of a table may lead to a person; which of several do, a person says."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from shared.systems.sql.drafting.shapes import KeyShape, TableShape
from shared.systems.sql.server import Place


@dataclass(frozen=True, slots=True)
class Route:
    """One join to a table that leads to a person. ``shared``: several rows may lead there, so of several people."""

    key: KeyShape
    to: Place
    on: tuple[tuple[str, str], ...]
    shared: bool = False

    @property
    def join(self) -> Mapping[str, Any]:
        """As ``via`` of a dataset has it."""
        return {"table": self.to[1], "on": dict(self.on)}


def routes(tables: Mapping[Place, TableShape], people: Collection[Place]) -> Mapping[Place, tuple[Route, ...]]:
    """The nearest joins from each table to ``people``, who hold an identity, or to a table that leads to them.

    The keys of a table come first; then those that refer to it from a table that leads to a person, if they are
    unique. What is shared is told, and nothing is found through it. No table leads to a person in a circle.
    """
    known = {*people}
    found: dict[Place, tuple[Route, ...]] = {}
    while True:
        near = {place: _forward(table, known) for place, table in tables.items() if place not in known}
        near = {place: some for place, some in near.items() if some}
        if not near:
            near = {place: _backward(place, tables, known, unique=True) for place in tables if place not in known}
            near = {place: some for place, some in near.items() if some}
        if not near:
            break
        found |= near
        known |= near.keys()
    shared = {place: _backward(place, tables, known, unique=False) for place in tables if place not in known}
    return found | {place: some for place, some in shared.items() if some}


def refers(table: TableShape, people: Collection[Place]) -> tuple[Route, ...]:
    """The keys of a table to tables that hold people."""
    return _forward(table, people)


def _forward(table: TableShape, known: Collection[Place]) -> tuple[Route, ...]:
    return tuple(
        Route(key, key.parent, tuple(zip(key.columns, key.to, strict=True)))
        for key in table.keys
        if key.parent in known and key.parent != table.place
    )


def _backward(
    place: Place, tables: Mapping[Place, TableShape], known: Collection[Place], *, unique: bool
) -> tuple[Route, ...]:
    return tuple(
        Route(key, child, tuple(zip(key.to, key.columns, strict=True)), shared=not key.unique)
        for child, table in tables.items()
        if child in known
        for key in table.keys
        if key.parent == place and key.unique is unique
    )
