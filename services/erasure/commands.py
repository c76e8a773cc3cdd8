"""The command that shows what the nightly sweep has found and done."""

import asyncio
from typing import Annotated, Any

import orjson
import typer

from shared.storage.postgres import PostgresSettings, connected

retention = typer.Typer(help="What goes by itself: the nightly sweep of every store.", no_args_is_help=True)

_SHOWN = """
SELECT system, table_name, ceiling, action, state, night::text, period, first_kept::text, due, of_rows, gone, spared,
       missed, reason, confirmed_by, sweep_id::text
FROM downstreams.sweep ORDER BY 1, 2, 3
"""


@retention.callback()
def _group() -> None:
    """Keep `show` a command of its own."""


@retention.command()
def show(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for a program to read.")] = False
) -> None:
    """Print for each table and ceiling what the last night found: rows due, gone, spared and missed."""
    found = asyncio.run(_shown(PostgresSettings().dsn))
    if as_json:
        typer.echo(orjson.dumps(found))
    else:
        typer.echo("\n".join(map(_line, found)) or "no night has come yet")


async def _shown(dsn: str) -> list[dict[str, Any]]:
    async with connected(dsn) as connection:
        return [dict(row) for row in await connection.fetch(_SHOWN)]


def _line(sweep: dict[str, Any]) -> str:
    place = f"{sweep['system']}.{sweep['table_name']}"
    counts = f"due {sweep['due']:,} of {sweep['of_rows']:,}, gone {sweep['gone']:,}"
    kept = f"spared {sweep['spared']:,}, missed {sweep['missed']:,}"
    waits = f" (confirmed by {len(sweep['confirmed_by'])} of 2)" if sweep["state"] == "stopped" else ""
    why = f" ({sweep['reason']})" if sweep["reason"] else ""
    said = f"{sweep['action']} before {sweep['first_kept']} ({sweep['ceiling']}, {sweep['period']})"
    return f"{sweep['night']}  {place}  {said}: {sweep['state']}{waits}{why}; {counts}, {kept}"
