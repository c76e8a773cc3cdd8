"""``dsr package check``: whether a package answers all of Art. 15, and where each of its rows is."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.export.check import check as look

package = typer.Typer(add_completion=False, no_args_is_help=True)


@package.callback()
def packages() -> None:
    """Packages that were fetched."""


@package.command()
def check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="the ZIP that was fetched")],
    as_json: Annotated[bool, typer.Option("--json", help="print it as JSON")] = False,  # noqa: FBT002  # an option
) -> None:
    """Print how each item of Art. 15 stands, and where every row is; status 1 if anything is wrong."""
    checked = look(file.read_bytes())
    if as_json:
        typer.echo(orjson.dumps(checked, option=orjson.OPT_INDENT_2).decode())
        raise typer.Exit(bool(checked.faults))
    for item, stands in checked.items.items():
        typer.echo(f"{item:7} {stands}")
    typer.echo("")
    for place in checked.places:
        table = f", report.html#{place.table}" if place.table else ""
        typer.echo(f"{place.category}: {place.rows} row(s) in {place.file}{table}")
    for fault in checked.faults:
        typer.echo(f"wrong: {fault}")
    raise typer.Exit(bool(checked.faults))
