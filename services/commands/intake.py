"""Commands about API keys, and requests that are open while the policy changes."""

import asyncio
import re
from datetime import timedelta
from typing import Annotated

import orjson
import typer

from services.intake.access import auth
from services.intake.access.grant import Grant, Power
from services.intake.jobs.redating import redate as redate_open
from shared.domain.clock import SystemClock
from shared.domain.rights import TENANT, Level, Right
from shared.domain.topics import ServiceName
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.settings import Groups, PolicySettings, VaultSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

api_key = typer.Typer(help="Who may call the API.")


Days = Annotated[int, typer.Option(min=1, max=3650, help="for how many days it is valid")]
May = Annotated[list[Power] | None, typer.Option(help="what it does; a key that leaks should not do both")]


@api_key.command()
def new(  # noqa: PLR0913  # each is an option of the command
    role: Annotated[str, typer.Option(help="channel, privacy or downstream:<system>")],
    holder: Annotated[str, typer.Option(help="who has it: the id of their account, as officer-7; no name")],
    *,
    level: Annotated[Level, typer.Option(help="of a channel: the highest level of assurance that it may state")] = "L0",
    right: Annotated[
        list[Right] | None, typer.Option(help="of a channel: what it may ask for; all, if left out")
    ] = None,
    may: May = None,
    per_minute: Annotated[int | None, typer.Option(min=1, help="of a channel: requests that it may submit")] = None,
    tenant: Annotated[
        str | None, typer.Option(help="of a customer's channel: the customer, for whose data alone it speaks")
    ] = None,
    days: Days = 365,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, for the only time.

    The role channel submits and follows its own requests, privacy sees and decides all, downstream:<system> fetches
    the identities of its tasks. What needs two people needs two keys of different holders. A channel's key submits,
    unless it is made to fetch packages; `dsr api-key replace KEY_ID --may fetch` makes the one for the other.
    """
    if not auth.ROLE.fullmatch(role):
        raise typer.BadParameter("--role must be channel, privacy or downstream:<system>")
    if not auth.HOLDER.fullmatch(holder):
        raise typer.BadParameter("--holder must be the id of an account, as officer-7: small letters, digits, . _ -")
    if tenant is not None and not re.fullmatch(TENANT, tenant):
        raise typer.BadParameter("--tenant must be the name of a customer, as acme: small letters, digits, -")
    bounds = Grant(level, frozenset(right or Right), frozenset(may or [Power.SUBMIT]), per_minute, tenant)
    if role != "channel" and bounds != Grant():
        raise typer.BadParameter("--level, --right, --may, --per-minute and --tenant bound the keys of channels alone")
    now, grant = SystemClock().now(), bounds if role == "channel" else None
    expires_at = now + timedelta(days=days)
    made = asyncio.run(auth.create(PostgresSettings.of_environment().dsn, role, holder, now, grant, expires_at))
    described = {"key": made, "key_id": made.split("_")[1], "role": role, "holder": holder, "expires_at": expires_at}
    typer.echo(orjson.dumps(described) if as_json else made)


@api_key.command()
def replace(key_id: str, *, may: May = None, days: Days = 365, as_json: AsJson = False) -> None:
    """Make another API key with role, holder, bounds and requests of one that is known by its id; revoke the old one.

    Both are valid meanwhile, and each sees what was submitted with the other. With --may it does that instead.
    """
    now = SystemClock().now()
    changed = {"expires_at": now + timedelta(days=days), **({"powers": sorted(may)} if may else {})}
    made = asyncio.run(auth.replace(PostgresSettings.of_environment().dsn, key_id, now, **changed))
    if made is None:
        raise typer.BadParameter("no such key")
    typer.echo(orjson.dumps({"key": made, "key_id": made.split("_")[1]}) if as_json else made)


@api_key.command()
def revoke(key_id: str) -> None:
    """Revoke an API key by its id, the part between the underscores; a service may believe it ten seconds longer."""
    if not asyncio.run(auth.revoke(PostgresSettings.of_environment().dsn, key_id, SystemClock().now())):
        raise typer.BadParameter("no such key, or revoked before")


def redate(*, as_json: AsJson = False) -> None:
    """Recalculate the dates of every open request after a change of the policy or of holidays."""
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
