"""Commands about the dataset of a SQL store."""

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from shared.domain.errors import Misconfigured
from shared.domain.toml_file import read_toml
from shared.downstreams.sql.declaration.dataset import Dataset
from shared.downstreams.sql.drafting import mariadb, postgresql
from shared.downstreams.sql.drafting.draft import Decided, Draft
from shared.downstreams.sql.drafting.drift import drift
from shared.downstreams.sql.drafting.shapes import Shapes
from shared.downstreams.sql.scheme import is_mariadb

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
    return asyncio.run(mariadb.shapes_of(dsn) if is_mariadb(dsn) else postgresql.shapes_of(dsn))
