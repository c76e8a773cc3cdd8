"""Lists every column of every table as a draft of a dataset; marks stop it from being used."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.errors import Misconfigured
from shared.downstreams.sql.drafting import toml_text
from shared.downstreams.sql.drafting.shapes import ColumnShape, KeyShape, Place, Shapes, TableShape

_HEAD = """\
A draft: names, types and keys of the database were read, and no row. A question mark is not decided: until somebody has
written what is right in its place the dataset cannot be used. Classes: A identifies the subject, B another person,
M tells about the subject, C is content, T is technical and never shown."""

_SHOWS = "shows what is in other tables, which are to be declared instead"
_COPIES = (
    "holds a copy of other tables, with whoever was erased there until it is refreshed: nothing here looks into it, so"
    " refresh it each night, or make it a plain view"
)

Written = Mapping[str, Any]
"""What a file holds of a table or a column."""


class Decided(BaseModel):
    """A dataset whose decisions are kept, as it is written: it may itself be a draft."""

    model_config = ConfigDict(extra="allow")

    tables: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    impersonal: Mapping[str, list[str]] = Field(default_factory=dict)


class Draft:
    """The draft of some tables of a database, over what was decided before.

    ``schemas``: whose tables are drafted; the first is the namespace of the downstreams file. ``only``: the names of
    the tables, or all. ``over``: a dataset, whose decisions are kept.
    """

    def __init__(self, shapes: Shapes, schemas: Collection[str], only: Collection[str], over: Decided) -> None:
        self._database = shapes.database
        self._namespace = next(iter(schemas))
        self._over = over
        self._decided = {self._place(name, table): table for name, table in over.tables.items()}
        self._tables = {place: table for place, table in shapes.tables.items() if place[0] in schemas}
        self._shown = [place for place, table in self._tables.items() if not table.is_view and self._asked(place, only)]
        self._views = [table for table in self._tables.values() if table.is_view and self._asked(table.place, only)]
        self._refuse_twice()

    def lines(self) -> Iterator[str]:
        """The file, line by line."""
        yield from (toml_text.comment(line) for line in _HEAD.splitlines())
        head = {"name": self._database} | self._over.model_dump(exclude={"tables"}, exclude_unset=True)
        yield from (f"{toml_text.key(name)} = {toml_text.value(each)}" for name, each in head.items())
        for view in self._views:
            if view.place not in self._decided:
                columns = ", ".join(column.name for column in view.columns)
                yield ""
                shows = _COPIES if view.kind == "materialized view" else _SHOWS
                yield toml_text.comment(f"{view.kind} {view.name} ({columns}) {shows}")
        for place in self._shown:
            yield ""
            yield from self._table(self._tables[place])
        for place, table in self._decided.items():
            if place not in self._shown:
                yield ""
                if place not in self._tables and place[0] == self._namespace:
                    yield "# gone from the database: take it out"
                yield from _written(place[1], table, self._tables.get(place, TableShape(place, ())))

    def _place(self, name: str, table: Written) -> Place:
        return (table.get("schema", self._namespace), name)

    def _asked(self, place: Place, only: Collection[str]) -> bool:
        return place[1] not in self._over.impersonal and (not only or place[1] in only)

    def _refuse_twice(self) -> None:
        names = [name for _, name in (*self._shown, *(place for place in self._decided if place not in self._shown))]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise Misconfigured(f"two schemas have a table {twice[0]}: draft one dataset for each, with one --schema")

    def _table(self, table: TableShape) -> Iterator[str]:
        yield from (toml_text.comment(said) for said in self._remarks(table))
        if decided := self._decided.get(table.place):
            yield from _written(table.name, decided, table)
            return
        told: dict[str, Any] = {} if table.place[0] == self._namespace else {"schema": table.place[0]}
        told |= {"category": "?", "primary_key": table.primary_key or ("?",)}
        yield from _written(table.name, {**told, "columns": {}}, table)

    def _remarks(self, table: TableShape) -> Iterator[str]:
        """What somebody has to know who decides."""
        if table.kind != "table":
            yield f"{table.name} is a {table.kind}"
        if not table.primary_key:
            yield f"{table.name} has no primary key: name the columns that tell its rows apart"
        if table.place in self._decided:
            return
        yield from map(_via, table.keys)
        names = toml_text.value([column.name for column in table.columns])
        yield (
            "if nothing in it is about anybody, delete it here and write"
            f" impersonal = {{ {toml_text.key(table.name)} = {names} }} at the top"
        )


def _via(key: KeyShape) -> str:
    join = {"table": key.parent[1], "on": dict(zip(key.columns, key.to, strict=True))}
    return f"foreign key {key.name}: if it tells whose a row is, write via = [{toml_text.value(join)}]"


def _written(name: str, table: Written, shape: TableShape) -> Iterator[str]:
    """A table: what is decided of it, and a mark for each other column."""
    place = f"tables.{toml_text.key(name)}"
    yield f"[{place}]"
    yield from (f"{toml_text.key(key)} = {toml_text.value(each)}" for key, each in table.items() if key != "columns")
    yield ""
    yield f"[{place}.columns]"
    left = dict(table.get("columns", {}))
    for column in shape.columns:
        decided = left.pop(column.name, None)
        if decided is None:
            generated = {"generated": True} if column.generated else {}
            yield _line(column.name, {"class": "?", **generated, "type": column.type})
        else:
            yield _line(column.name, decided) + _changed(column, decided)
    for part, decided in left.items():
        gone = "  # gone from the database: take it out" if shape.columns and "json" not in decided else ""
        yield _line(part, decided) + gone


def _line(name: str, column: Written) -> str:
    return f"{toml_text.key(name)} = {toml_text.value(column)}"


def _changed(column: ColumnShape, decided: Written) -> str:
    if decided.get("type", column.type) == column.type:
        return ""
    return "  " + toml_text.comment(f"its type is {column.type} now: write that, if its class is still right")
