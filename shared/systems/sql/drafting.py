"""A dataset drafted from what a database says of its own tables, and compared with it later; no row is read."""

import asyncio
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import orjson
import typer
from pydantic import BaseModel, ConfigDict, Field

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.domain.toml_file import read_toml
from shared.systems.sql.catalog import MATERIALISED, TABLE, VIEW, Catalog, ForeignKey, Relation, SeenColumn
from shared.systems.sql.dataset import Dataset
from shared.systems.sql.declaration import Table
from shared.systems.sql.system import server_of

# What a column may hold, guessed from its name, its type and the keys that it is in: never decided.


class ColumnGuess(NamedTuple):
    """``personal``: a class, or None where nothing tells; ``more``: other keys; ``because``: what tells it."""

    personal: str | None
    because: str
    more: Mapping[str, Any] = {}


_WORDS: tuple[tuple[str, IdentityType | None, str], ...] = (
    ("T", None, "password passwd hash token secret salt otp"),
    ("A", IdentityType.EMAIL, "email mail"),
    ("A", IdentityType.PHONE, "phone mobile msisdn tel telephone fax e164 cellphone"),
    ("A", IdentityType.SIP_URI, "sip aor"),
    ("A", None, "firstname lastname fullname surname nickname username login ssn passport iban ip imei imsi"),
    ("A", None, "street address postcode zip"),
    ("M", None, "birth birthday birthdate born dob gender sex nationality city country language locale"),
    ("C", None, "body comment comments content description message note notes remark text subject title"),
)
_GUESS_OF_WORD = frozenset({"first", "last", "given", "family", "middle", "maiden", "full", "display"})
_HIDDEN = frozenset({"deleted", "deletion", "removed", "archived", "trashed"})
_TEXTS = ("text", "character", "citext", "varchar", "char", "longtext", "mediumtext", "tinytext")
_PLAIN = (
    *("boolean", "date", "time", "smallint", "integer", "bigint", "numeric", "real", "double", "money", "interval"),
    *("tinyint", "int", "decimal", "float", "year", "bit"),
)


def _words(name: str) -> tuple[str, ...]:
    """Returns the words of a column's name: ``billingEmail`` and ``billing_email`` are two."""
    return tuple(re.findall(r"[a-z]+[0-9]*|[0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def guess(table: Relation, keys: Sequence[ForeignKey], name: str) -> ColumnGuess:
    """Returns what a column of a table with these foreign keys may be."""
    column = table.columns[name]
    found = _of_keys(table, keys, name) or _of_name(name, column) or _of_type(column)
    return found._replace(more={**found.more, "generated": True}) if column.generated else found


def _of_keys(table: Relation, keys: Sequence[ForeignKey], name: str) -> ColumnGuess | None:
    for key in keys:
        if name in key.columns:
            return ColumnGuess("T", f"it refers to {key.parent[1]} (foreign key {key.name})")
    if name in table.primary_key and not table.columns[name].full_type.startswith(_TEXTS):
        return ColumnGuess("T", "it is of the primary key, and no text")
    return None


def _of_name(name: str, column: SeenColumn) -> ColumnGuess | None:
    words, is_text = _words(name), column.full_type.startswith(_TEXTS)
    if (hidden := _HIDDEN.intersection(words)) and not is_text:
        remark = f"its name has {min(hidden)!r}: rows that are only marked as deleted are deleted like the others"
        return ColumnGuess("T", remark)
    if column.full_type in {"inet", "cidr"}:
        return ColumnGuess("A", f"its type is {column.full_type}")
    if not is_text:
        return None
    if words[-1:] == ("name",) and _GUESS_OF_WORD.intersection(words):
        return ColumnGuess("A", f"its name is {name!r}")
    for personal, identity, known in _WORDS:
        if matching := [word for word in words if word in known.split()]:
            more = {"identity": str(identity)} if identity else {}
            more |= {"match": "lower"} if identity is IdentityType.EMAIL and column.full_type != "citext" else {}
            return ColumnGuess(personal, f"its name has {matching[0]!r}", more)
    return None


def _of_type(column: SeenColumn) -> ColumnGuess:
    if column.full_type.startswith("json"):
        return ColumnGuess(None, "a document: shown and emptied whole; give what finds people in it a generated column")
    if column.full_type.startswith(_PLAIN) and not column.full_type.endswith("[]"):
        return ColumnGuess("M", f"its type is {column.full_type}")
    return ColumnGuess(None, "nothing tells")


# By which foreign keys the rows of a table may lead to a person; which of several do, a person says.


class _Route(NamedTuple):
    """A join to a table that leads to a person. ``shared``: several rows may lead there, so of several people."""

    key: ForeignKey
    to: str
    on: tuple[tuple[str, str], ...]
    shared: bool = False

    @property
    def join(self) -> Mapping[str, Any]:
        return {"table": self.to, "on": dict(self.on)}

    @property
    def text(self) -> str:
        return f"belongs_to = [{toml_value(self.join)}] (foreign key {self.key.name})"


class _Tables:
    """The tables of one schema by name, and their foreign keys within it."""

    def __init__(self, catalog: Catalog, schema: str) -> None:
        self.all = {place[1]: each for place, each in catalog.relations.items() if place[0] == schema}
        self.keys: dict[str, list[ForeignKey]] = {name: [] for name in self.all}
        for key in catalog.references:
            if key.child[0] == schema and key.child[1] in self.keys:
                self.keys[key.child[1]].append(key)

    def routes(self, people: Collection[str]) -> Mapping[str, Sequence[_Route]]:
        """Returns the shortest joins from each table to ``people``, or to a table that leads to them.

        A table's own keys come first; then unique keys that refer to it from a table that leads to a person. Shared
        rows are reported, and not searched through. Cycles lead to no person.
        """
        known, found = {*people}, dict[str, Sequence[_Route]]()
        left = {name for name, each in self.all.items() if not _is_view(each)} - known
        while True:
            near = {name: some for name in left if (some := self.forward(name, known))}
            near = near or {name: some for name in left if (some := self._backward(name, known, unique=True))}
            if not near:
                break
            found |= near
            known |= near.keys()
            left -= near.keys()
        return found | {name: some for name in left if (some := self._backward(name, known, unique=False))}

    def forward(self, name: str, known: Collection[str]) -> list[_Route]:
        """The keys of a table to those that are known."""
        keys = [key for key in self.keys[name] if key.parent[1] in known and key.parent != key.child]
        return [_Route(key, key.parent[1], tuple(zip(key.columns, key.to, strict=True))) for key in keys]

    def _backward(self, name: str, known: Collection[str], *, unique: bool) -> list[_Route]:
        found = list[_Route]()
        for child in (each for each in self.all if each in known):
            for key in (key for key in self.keys[child] if key.parent[1] == name):
                if any(columns <= {*key.columns} for columns in self.all[child].unique) is unique:
                    found.append(_Route(key, child, tuple(zip(key.to, key.columns, strict=True)), not unique))
        return found


def _is_view(table: Relation) -> bool:
    return table.kind in {VIEW, MATERIALISED}


# The draft, line by line.

_HEAD = """\
A draft: names, types and keys of the database were read, and no row. What ends with a question mark is a guess, or not
decided, and until a person has replaced it the dataset cannot be used. Classes: A identifies the
subject, B another person, M tells about the subject, C is content, T is technical and never shown."""
_SHOWS = "shows what is in other tables, which are to be declared instead"
_COPIES = (
    "holds a copy of other tables, with erased people until it is refreshed: nothing here looks into it, so"
    " refresh it each night, or make it a plain view"
)
Written = Mapping[str, Any]
"""The decisions of a file about a table or a column."""


class DecidedDataset(BaseModel):
    """A dataset as written, whose decisions a new draft keeps."""

    model_config = ConfigDict(extra="allow")

    tables: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)


class DatasetDraft:
    """The draft of the tables of one schema, over what was decided before; ``only``: their names, or all."""

    def __init__(self, catalog: Catalog, schema: str, only: Collection[str], over: DecidedDataset) -> None:
        self._database, self._over, self._decided = catalog.name, over, over.tables
        self._tables = _Tables(catalog, schema)
        shown = {name: each for name, each in self._tables.all.items() if not only or name in only}
        self._shown = {name: each for name, each in shown.items() if not _is_view(each)}
        self._views = [each for each in shown.values() if _is_view(each)]
        self._people = {name for name, each in self._tables.all.items() if not _is_view(each) and self._finds(name)}
        self._routes = self._tables.routes(self._people)

    def lines(self) -> Iterator[str]:
        """The file, line by line."""
        yield from (_comment(line) for line in _HEAD.splitlines())
        head = {"name": self._database} | self._over.model_dump(exclude={"tables"}, exclude_unset=True)
        yield from (f"{_key(name)} = {toml_value(each)}" for name, each in head.items())
        for view in self._views:
            if view.place[1] not in self._decided:
                shows = _COPIES if view.kind == MATERIALISED else _SHOWS
                yield ""
                yield _comment(f"{view.kind} {view.place[1]} ({', '.join(view.columns)}) {shows}")
        for name in self._shown:
            yield ""
            yield from self._table(name)
        for name, decided in self._decided.items():
            if name not in self._shown:
                yield ""
                if name not in self._tables.all:
                    yield "# gone from the database: take it out"
                yield from self._written(name, decided)

    def _finds(self, name: str) -> bool:
        """Whether a column of a table can find a person."""
        table, decided = self._tables.all[name], self._decided.get(name)
        guesses = (guess(table, self._tables.keys[name], each).more for each in table.columns)
        found = decided.get("columns", {}).values() if decided else guesses
        return any(each.get("identity", IdentityType.NAME) != IdentityType.NAME for each in found)

    def _table(self, name: str) -> Iterator[str]:
        table, ways = self._tables.all[name], self._routes.get(name, ())
        yield from (_comment(remark) for remark in self._remarks(name, table, ways))
        if decided := self._decided.get(name):
            yield from self._written(name, decided)
            return
        written: dict[str, Any] = {"category": "?", "primary_key": table.primary_key or ("?",)}
        if len(ways) == 1 and not ways[0].shared:
            written["belongs_to"] = [ways[0].join]
        yield from self._written(name, {**written, "columns": {}})

    def _remarks(self, name: str, table: Relation, ways: Sequence[_Route]) -> Iterator[str]:
        """Yields remarks for the person who decides."""
        if table.kind != TABLE:
            parts = f" of {table.partitions} partitions, which are no tables of their own" if table.partitions else ""
            yield f"{name} is a {table.kind}{parts}"
        if not table.primary_key:
            yield f"{name} has no primary key: name the columns that tell its rows apart"
        if name in self._people:
            if len(table.primary_key) == 1 and name not in self._decided:
                key = toml_value(table.primary_key[0])
                yield (
                    f"if each row is one person, and no ticket, order or call of theirs, write person = {key}:"
                    " max_people counts by it, and an account that a row has is believed to be that person's"
                )
            for route in self._tables.forward(name, self._people):
                yield f"it also refers to people, by {route.text}: write that, or a party, if a row is about them"
        elif not ways or ways[0].shared:
            for route in ways:
                yield f"rows of {route.to} refer to {name}, several to one: shared by people, {route.text}"
            yield f"no foreign key leads from {name} to one person: write belongs_to, or delete it"
        elif len(ways) > 1:
            yield "it leads to people in several ways; write the one that tells whose a row is, or a party for each:"
            yield from (route.text for route in ways)
        elif name not in self._decided:
            yield f"belongs_to is a guess: foreign key {ways[0].key.name}"

    def _written(self, name: str, decided: Written) -> Iterator[str]:
        """A table: what is decided of it, and guesses for its other columns."""
        table, place = self._tables.all.get(name), f"tables.{_key(name)}"
        yield f"[{place}]"
        yield from (f"{_key(key)} = {toml_value(each)}" for key, each in decided.items() if key != "columns")
        yield ""
        yield f"[{place}.columns]"
        undecided = dict(decided.get("columns", {}))
        for column in table.columns if table else ():
            keys = undecided.pop(column, None)
            if table and (keys is None or str(keys.get("class")).endswith("?")):
                found = guess(table, self._tables.keys[name], column)
                because = f"guess, because {found.because}" if found.personal else found.because
                keys = keys or {"class": f"{found.personal or ''}?", **found.more}
                yield f"{_key(column)} = {toml_value(keys)}  {_comment(because)}"
            else:
                yield f"{_key(column)} = {toml_value(keys)}"
        for column, keys in undecided.items():
            yield f"{_key(column)} = {toml_value(keys)}" + ("  # gone from the database: take it out" if table else "")


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _key(name: str) -> str:
    """Returns a key of TOML: bare where that is allowed, else quoted."""
    return name if _BARE.fullmatch(name) else toml_value(name)


def toml_value(content: Any) -> str:
    """Returns a value of TOML on one line."""
    match content:
        case Mapping():
            return "{ " + ", ".join(f"{_key(name)} = {toml_value(each)}" for name, each in content.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml_value(each) for each in content) + "]"
        case str():
            return orjson.dumps(content).decode().replace("\x7f", "\\u007f")
        case _:
            return orjson.dumps(content, default=str).decode()


def _comment(text: str) -> str:
    """Returns a comment on one line, whatever is in a name of the database."""
    return "# " + re.sub(r"[\x00-\x1f\x7f]+", " ", text)


# In what a database differs from its dataset.


class Difference(NamedTuple):
    """One difference, and what to do about it."""

    kind: Literal["table_new", "table_gone", "table_refers", "column_new", "column_gone"]
    table: str
    column: str | None
    says: str


def drift(dataset: Dataset, catalog: Catalog, schema: str, ignored: Collection[str] = ()) -> Sequence[Difference]:
    """Lists differences; ``ignored``: tables that are not about people."""
    found: list[Difference] = []
    for name, table in dataset.tables.items():
        if (seen := catalog.relations.get((schema, name))) is None:
            says = "is declared and does not exist: take it out, or correct its name"
            found.append(Difference("table_gone", f"{schema}.{name}", None, says))
        else:
            found += _columns(f"{schema}.{name}", table, seen)
    for place, seen in catalog.relations.items():
        if place[0] == schema and place[1] in dataset.tables:
            continue
        shown, keys = ".".join(place), [key for key in catalog.references if key.child == place]
        referring = [key for key in keys if key.parent[0] == schema and key.parent[1] in dataset.tables]
        if referring:
            to = ", ".join(f"{key.parent[1]} ({key.name})" for key in referring)
            says = f"refers to {to} and is not declared: declare it, with belongs_to"
            found.append(Difference("table_refers", shown, None, says))
        elif place[0] == schema and place[1] not in ignored and not _is_view(seen):
            says = "is new: declare it, or pass --ignore with its name if nothing in it is about anybody"
            found.append(Difference("table_new", shown, None, says))
    return found


def _columns(name: str, table: Table, seen: Relation) -> Iterator[Difference]:
    for column in (name for name in table.columns if name not in seen.columns):
        yield Difference("column_gone", name, column, "is declared and does not exist: take it out")
    for column in (name for name in seen.columns if name not in table.columns):
        yield Difference("column_new", name, column, f"is new ({seen.columns[column].full_type}): give it a class")


# The commands.

dataset = typer.Typer(help="The file that says what each table of a SQL store holds about people.")

DsnEnv = Annotated[str, typer.Option(help="The environment variable that holds the connection string.")]
Schema = Annotated[str | None, typer.Option(help="Schema of the tables (public; of a MariaDB its database).")]


@dataset.command()
def draft(
    *,
    dsn_env: DsnEnv,
    schema: Schema = None,
    table: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    over: Annotated[Path | None, typer.Option(help="A dataset whose decisions are kept; not its comments.")] = None,
) -> None:
    """Prints a dataset for the tables of a database: every column, with guesses for a person to decide.

    Reads names, types and keys, and no row. The draft is unusable until every question mark is gone.
    """
    decided = read_toml(over, DecidedDataset) if over else DecidedDataset()
    catalog, namespace = _catalog(dsn_env)
    typer.echo("\n".join(DatasetDraft(catalog, schema or namespace, table or (), decided).lines()))


@dataset.command()
def diff(
    file: Path,
    *,
    dsn_env: DsnEnv,
    schema: Schema = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Leave out this table; may be given several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a database with its dataset; exits 1 on any difference."""
    declared = read_toml(file, Dataset)
    catalog, namespace = _catalog(dsn_env)
    found = drift(declared, catalog, schema or namespace, ignore or ())
    if as_json:
        typer.echo(orjson.dumps([each._asdict() for each in found]))
    else:
        for each in found:
            typer.echo(f"{each.table}{f' column {each.column}' if each.column else ''} {each.says}")
    if found:
        raise typer.Exit(1)


def _catalog(dsn_env: str) -> tuple[Catalog, str]:
    """Reads the catalogs, as far as this user may know of them; and the schema where nothing else is said."""
    if not (dsn := os.environ.get(dsn_env)):
        raise Misconfigured(f"--dsn-env names {dsn_env}, which is not set; export {dsn_env}")
    server = server_of("the database", dsn)

    async def read() -> Catalog:
        try:
            async with server.connection() as connection, connection.transaction(reading=True):
                return await server.catalog(connection, None)
        finally:
            await server.close()

    return asyncio.run(read()), server.namespace
