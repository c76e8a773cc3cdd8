"""Commands about keys, the database, the evidence and certificates."""

import asyncio
import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from shared.storage import certificate as certificates
from shared.storage import evidence as log
from shared.storage import keyring
from shared.storage.migrate import migrate as apply_migrations
from shared.storage.migrate import wait_until_migrated
from shared.storage.postgres import PostgresSettings

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

key = typer.Typer(help="Keys of the platform: one file, in production a mounted secret.")
evidence = typer.Typer(help="The log of what was done, a chain of hashes for each service.")
certificate = typer.Typer(help="The signed certificate of a closed request.")


@key.command()
def new(file: Path) -> None:
    """Write a new keyring, readable by its owner only; an existing file is left alone."""
    keyring.create(file)


@key.command()
def rotate(file: Path, *, as_json: AsJson = False) -> None:
    """Add a sealing key and seal new subjects with it; what was sealed before still opens."""
    active = keyring.rotate(file)
    typer.echo(orjson.dumps({"active": active}) if as_json else f"new subjects are sealed with {active}")


def migrate(
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Only wait until another process has.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create the schema of this version in an empty database and print the files applied."""
    dsn = PostgresSettings.of_environment().dsn
    if wait:
        asyncio.run(wait_until_migrated(dsn))
        return
    names = asyncio.run(apply_migrations(dsn))
    typer.echo(orjson.dumps({"applied": names}) if as_json else "".join(f"{name}\n" for name in names), nl=as_json)


@evidence.command("verify")
def verify_evidence(*, as_json: AsJson = False) -> None:
    """Read every chain from its beginning; status 1 if an entry was changed or is missing."""
    broken = asyncio.run(log.verify(PostgresSettings.of_environment().dsn))
    if as_json:
        typer.echo(orjson.dumps({chain: {"holds": not seq, "broken_at": seq} for chain, seq in broken.items()}))
    else:
        for chain, seq in broken.items():
            typer.echo(f"does not hold: {chain}, from entry {seq} on" if seq else f"holds: {chain}")
    if any(broken.values()):
        raise typer.Exit(1)


@certificate.command("verify")
def verify_certificate(
    file: Path,
    key: Annotated[str, typer.Option(help="The company's published key, in base64: without it, the file's own.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Check a certificate offline; status 1 if anything in it was changed.

    Against the key inside the file this proves that nothing was changed since it was signed; against the company's
    published key it also proves who signed it.
    """
    try:
        trusted = base64.b64decode(key, validate=True) if key else None
    except ValueError:
        raise typer.BadParameter("the key must be base64, as the company publishes it") from None
    content: Any = None
    try:
        content = orjson.loads(file.read_bytes())
        problems = certificates.verify(content, trusted)
    except orjson.JSONDecodeError:
        problems = [f"this is not a certificate of version {certificates.VERSION}: it is not JSON"]
    except ValueError as error:
        problems = [str(error)]
    found = {"problems": problems} if problems else _summary(content)
    if as_json:
        typer.echo(orjson.dumps({"holds": not problems, **found}))
    elif problems:
        typer.echo("\n".join(f"does not hold: {problem}" for problem in problems))
    else:
        typer.echo(
            "holds: request {request_id} ({right}) closed as {outcome}\n"
            "       {entries} entries with their hashes, signed receipts: {receipts}, one signature over all"
            "".format_map(found)
        )
        if not key:
            typer.echo(f"       signed with {found['public_key']}: compare it with what the company publishes")
    if problems:
        raise typer.Exit(1)


def _summary(content: Mapping[str, Any]) -> dict[str, Any]:
    receipts = sum(entry["action"] == "task.concluded" for entry in content["entries"])
    facts = {name: content["request"][name] for name in ("request_id", "right", "outcome")}
    return {**facts, "entries": len(content["entries"]), "receipts": receipts, "public_key": content["public_key"]}
