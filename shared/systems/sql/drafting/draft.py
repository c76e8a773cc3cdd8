"""A dataset as a draft: every column of every table, with guesses that are marked and stop it from being used."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.systems.sql.drafting import toml_text
from shared.systems.sql.drafting.guesses import guess, is_text
from shared.systems.sql.drafting.routes import Route, refers, routes
from shared.systems.sql.drafting.shapes import ColumnShape, Shapes, TableShape
from shared.systems.sql.server import Place

_CONTENT_TYPES = "django_content_type"


def generic_keys(table: TableShape) -> Iterator[str]:
    """A sentence for each: its columns, and the join that it needs."""
    columns = {column.name: column for column in table.columns}
    for key in table.keys:
        if key.parent[1] == _CONTENT_TYPES:
            own = key.columns[0].removesuffix("_type_id").removesuffix("_type") + "_id"
            for id_ in (
                "object_id",
                "object_pk",
                own,
            ):
                if id_ in columns and id_ not in key.columns:
                    yield _sentence(key.columns[0], id_, _on(key.columns[0], id_))
                    break
    for name, column in columns.items():
        id_ = name.removesuffix("type") + "id"
        if name.endswith("_type") and is_text(column.type) and id_ in columns:
            yield _sentence(name, id_, _on(name, id_))


def _on(type_: str, id_: str) -> str:
    return f'{id_} = "id", {type_} = {{ is = "WORD" }}'


def _sentence(type_: str, id_: str, on: str) -> str:
    return (
        f"{type_} and {id_} point to rows of whichever table the row says (a generic key): of each that leads to a"
        f' person write a path in via: [{{ table = "TABLE", on = {{ {on} }} }}]'
    )


_HEAD = """\
A draft: names, types and keys of the database were read, and no row. What ends with a question mark is a guess, or not
decided, and until somebody has written what is right in its place the dataset cannot be used. Classes: A identifies the
subject, B another person, M tells about the subject, C is content, T is technical and never shown."""

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
        real = {place: table for place, table in self._tables.items() if not table.is_view}
        self._people = {place for place, table in real.items() if self._holds_identity(table)}
        self._routes = routes(real, self._people)
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

    def _holds_identity(self, table: TableShape) -> bool:
        decided = self._decided.get(table.place)
        found = decided.get("columns", {}).values() if decided else (guess(table, each).more for each in table.columns)
        return any(each.get("identity", IdentityType.NAME) != IdentityType.NAME for each in found)

    def _table(self, table: TableShape) -> Iterator[str]:
        yield from (toml_text.comment(said) for said in self._remarks(table))
        if decided := self._decided.get(table.place):
            yield from _written(table.name, decided, table)
            return
        told: dict[str, Any] = {} if table.place[0] == self._namespace else {"schema": table.place[0]}
        told |= {"category": "?", "primary_key": table.primary_key or ("?",)}
        ways = self._routes.get(table.place, ())
        if len(ways) == 1 and not ways[0].shared:
            told["via"] = [ways[0].join]
        yield from _written(table.name, {**told, "columns": {}}, table)

    def _remarks(self, table: TableShape) -> Iterator[str]:
        """What somebody has to know who decides."""
        if table.kind != "table":
            parts = f" of {table.partitions} partitions, which are no tables of their own" if table.partitions else ""
            yield f"{table.name} is a {table.kind}{parts}"
        if not table.primary_key:
            yield f"{table.name} has no primary key: name the columns that tell its rows apart"
        ways = self._routes.get(table.place, ())
        if table.place in self._people:
            if len(table.primary_key) == 1 and table.place not in self._decided:
                key = toml_text.value(table.primary_key[0])
                yield (
                    f"if each row is one person, and no ticket, order or call of theirs, write person = {key}:"
                    " max_people counts by it, and an account that a row has is believed to be that person's"
                )
            for route in refers(table, self._people):
                yield f"it also refers to people, by {_said(route)}: a via, or a party, if that is who a row is about"
        elif not ways or ways[0].shared:
            for route in ways:
                yield f"rows of {route.to[1]} refer to {table.name}, several to one: shared by people, {_said(route)}"
            names = toml_text.value([column.name for column in table.columns])
            yield (
                f"no foreign key leads from {table.name} to one person: write via, or if nobody is in it,"
                f" delete it here and write impersonal = {{ {toml_text.key(table.name)} = {names} }} at the top"
            )
        elif len(ways) > 1:
            yield "it leads to people in several ways; write the one that tells whose a row is, or a party for each:"
            yield from (_said(route) for route in ways)
        elif table.place not in self._decided:
            yield f"via is a guess: foreign key {ways[0].key.name}"
        yield from generic_keys(table)


def _said(route: Route) -> str:
    return f"via = [{toml_text.value(route.join)}] (foreign key {route.key.name})"


def _written(name: str, table: Written, shape: TableShape) -> Iterator[str]:
    """A table: what is decided of it, and guesses for its other columns."""
    place = f"tables.{toml_text.key(name)}"
    yield f"[{place}]"
    yield from (f"{toml_text.key(key)} = {toml_text.value(each)}" for key, each in table.items() if key != "columns")
    yield ""
    yield f"[{place}.columns]"
    left = dict(table.get("columns", {}))
    for column in shape.columns:
        decided = left.pop(column.name, None)
        if decided is None or str(decided.get("class")).endswith("?"):
            found = guess(shape, column)
            told = decided or {"class": f"{found.personal or ''}?", **found.more, "type": column.type}
            because = f"guess, because {found.because}" if found.personal else found.because
            yield f"{_line(column.name, told)}  {toml_text.comment(because)}"
        else:
            yield _line(column.name, decided) + _changed(column, decided)
    for part, decided in left.items():
        gone = "  # gone from the database: take it out" if shape.columns else ""
        yield _line(part, decided) + gone


def _line(name: str, column: Written) -> str:
    return f"{toml_text.key(name)} = {toml_text.value(column)}"


def _changed(column: ColumnShape, decided: Written) -> str:
    if decided.get("type", column.type) == column.type:
        return ""
    return "  " + toml_text.comment(f"its type is {column.type} now: write that, if its class is still right")
