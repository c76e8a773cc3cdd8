"""Commands about API keys, and about requests that are open while the policy changes."""

import asyncio
from typing import Annotated

import orjson
import typer

from services.intake import auth
from services.intake.redating import redate as redate_open
from shared.domain.clock import SystemClock
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.settings import Groups, PolicySettings, VaultSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

api_key = typer.Typer(help="Who may call the API.")


@api_key.command()
def new(
    role: Annotated[str, typer.Option(help="channel, privacy or downstream:<system>")],
    holder: Annotated[str, typer.Option(help="who has it: the id of their account, as officer-7; no name")],
    *,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, for the only time.

    The role channel submits and follows its own requests, privacy sees and decides all, downstream:<system> fetches
    the identities of its tasks. What needs two persons needs two keys of different holders.
    """
    if not auth.ROLE.fullmatch(role):
        raise typer.BadParameter("--role must be channel, privacy or downstream:<system>")
    if not auth.HOLDER.fullmatch(holder):
        raise typer.BadParameter("--holder must be the id of an account, as officer-7: small letters, digits, . _ -")
    made = asyncio.run(auth.create(PostgresSettings().dsn, role, holder, SystemClock().now()))
    told = {"key": made, "key_id": made.split("_")[1], "role": role, "holder": holder}
    typer.echo(orjson.dumps(told) if as_json else made)


@api_key.command()
def replace(key_id: str, *, as_json: AsJson = False) -> None:
    """Make another API key with role, holder and requests of one that is known by its id; revoke the old one after.

    Both are valid meanwhile, and each sees what was submitted with the other.
    """
    made = asyncio.run(auth.replace(PostgresSettings().dsn, key_id, SystemClock().now()))
    if made is None:
        raise typer.BadParameter("no such key")
    typer.echo(orjson.dumps({"key": made, "key_id": made.split("_")[1]}) if as_json else made)


@api_key.command()
def revoke(key_id: str) -> None:
    """Revoke an API key by its id, the part between the underscores; a service may believe it ten seconds longer."""
    if not asyncio.run(auth.revoke(PostgresSettings().dsn, key_id, SystemClock().now())):
        raise typer.BadParameter("no such key, or revoked before")


def redate(*, as_json: AsJson = False) -> None:
    """After a change of the policy or of the holidays, compute the dates of every open request anew."""
    moved = asyncio.run(_redate())
    typer.echo(orjson.dumps({"redated": moved}) if as_json else f"open requests redated: {moved}")


class _RedateSettings(Groups):
    vault: VaultSettings
    postgres: PostgresSettings
    policy: PolicySettings


async def _redate() -> int:
    settings = _RedateSettings()
    vault, limits = Vault(keyring.load(settings.vault.keyring)), settings.policy.read_time_limits()
    async with await connect_pool(settings.postgres, ServiceName.INTAKE) as pool:
        return await redate_open(UnitOfWorkFactory(pool, ServiceName.INTAKE, SystemClock(), vault), limits)
