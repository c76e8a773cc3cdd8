"""Commands about the dataset of a SQL store."""

import asyncio
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer

from shared.domain.errors import Misconfigured
from shared.domain.toml_file import read_toml
from shared.systems.sql.declaration.dataset import Dataset
from shared.systems.sql.declaration.tables import Table
from shared.systems.sql.drafting.draft import Decided, Draft
from shared.systems.sql.drafting.shapes import Shapes, TableShape, shapes_of
from shared.systems.sql.server import Place


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference, and what to do about it."""

    kind: Literal["table_new", "table_gone", "table_refers", "column_new", "column_gone", "type_changed"]
    table: str
    column: str | None
    says: str


def drift(dataset: Dataset, shapes: Shapes, schemas: Collection[str]) -> Sequence[Drift]:
    """What differs; ``schemas``: the first is the namespace of the store, and in all of them each table is expected."""
    namespace = next(iter(schemas))
    declared = {dataset.place(namespace, name): table for name, table in dataset.tables.items()}
    looked_at = {*schemas, *(schema for schema, _ in declared)}
    found: list[Drift] = []
    for place, table in declared.items():
        if (shape := shapes.tables.get(place)) is None:
            says = "is declared and does not exist: take it out, or correct its name"
            found.append(Drift("table_gone", _named(place), None, says))
        else:
            found += _of_columns(table, shape)
    for place, shape in shapes.tables.items():
        if place not in declared:
            found += _undeclared(dataset, shape, declared, expected=place[0] in looked_at)
    return found


def _named(place: Place) -> str:
    return ".".join(place)


def _of_columns(table: Table, shape: TableShape) -> Iterator[Drift]:
    name = _named(shape.place)
    real = {column.name: column.type for column in shape.columns}
    for column, declared in table.columns.items():
        if column not in real:
            says = "is declared and does not exist: take it out"
            yield Drift("column_gone", name, column, says)
        elif declared.type and declared.type != real[column]:
            says = f"was {declared.type} and is {real[column]}: look whether its class is still right, and write that"
            yield Drift("type_changed", name, column, says)
    for column, type_ in real.items():
        if column not in table.columns:
            yield Drift("column_new", name, column, f"is new ({type_}): give it a class")


def _undeclared(dataset: Dataset, shape: TableShape, declared: Collection[Place], *, expected: bool) -> Iterator[Drift]:
    """Of a table that is not declared: that it refers to a declared one, or is new; and what is new in it."""
    name = _named(shape.place)
    if referring := [f"{key.parent[1]} ({key.name})" for key in shape.keys if key.parent in declared]:
        says = f"refers to {', '.join(referring)} and is not declared: declare it, with via"
        yield Drift("table_refers", name, None, says)
    elif expected and not shape.is_view:
        if (known := dataset.impersonal.get(shape.name)) is None:
            says = "is new: declare it, or write it in impersonal if nothing in it is about anybody"
            yield Drift("table_new", name, None, says)
        else:
            for column in (each.name for each in shape.columns if each.name not in known):
                says = "is new in a table that is said to be about nobody: add it there, or declare the table"
                yield Drift("column_new", name, column, says)


dataset = typer.Typer(help="The file that says what each table of a SQL store holds about people.")

DsnEnv = Annotated[str, typer.Option(help="The environment variable that holds the connection string.")]
Schemas = Annotated[
    list[str] | None,
    typer.Option(
        "--schema", help="Schema of the tables (public; of a MariaDB its database); several times, the namespace first."
    ),
]


@dataset.command()
def draft(
    *,
    dsn_env: DsnEnv,
    schema: Schemas = None,
    table: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times.")] = None,
    over: Annotated[Path | None, typer.Option(help="A dataset whose decisions are kept; not its comments.")] = None,
) -> None:
    """Print a dataset for the tables of a database: every column, with guesses that somebody has to decide.

    Names, types and keys are read, and no row. The draft cannot be used before every question mark is gone.
    """
    decided = read_toml(over, Decided) if over else Decided()
    shapes = _shapes(dsn_env)
    lines = Draft(shapes, schema or [shapes.namespace], table or (), decided).lines()
    typer.echo("\n".join(lines))


@dataset.command()
def diff(
    file: Path,
    *,
    dsn_env: DsnEnv,
    schema: Schemas = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say in what a database differs from its dataset; status 1 if in anything."""
    declared = read_toml(file, Dataset)
    shapes = _shapes(dsn_env)
    found = drift(declared, shapes, schema or [shapes.namespace])
    if as_json:
        typer.echo(orjson.dumps([asdict(each) for each in found]))
    else:
        for each in found:
            typer.echo(f"{each.table}{f' column {each.column}' if each.column else ''} {each.says}")
    if found:
        raise typer.Exit(1)


def _shapes(dsn_env: str) -> Shapes:
    if not (dsn := os.environ.get(dsn_env)):
        raise Misconfigured(f"--dsn-env names {dsn_env}, which is not set; export {dsn_env}")
    return asyncio.run(shapes_of(dsn))
