"""The command that compares a store restored from a backup with the erasures since."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import orjson
import typer
from pydantic import TypeAdapter, ValidationError

from services.erasure import restored
from shared.domain.clock import Moment
from shared.domain.errors import Misconfigured
from shared.domain.topics import ServiceName
from shared.runtime.settings import Groups, PolicySettings, VaultSettings, WorkSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.systems.commands import AsJson
from shared.systems.protocols import Listable
from shared.systems.registry import Downstreams, Wiring

_LEFT = 3


class _Settings(Groups):
    vault: VaultSettings
    postgres: PostgresSettings
    policy: PolicySettings
    work: WorkSettings


def moment(text: str) -> datetime:
    """Reads a moment with its offset; raises ``BadParameter``."""
    try:
        return TypeAdapter[datetime](Moment).validate_python(text)
    except ValidationError:
        raise typer.BadParameter("a moment is written with its offset, as 2026-11-01T03:00+01:00") from None


def reconcile(
    system: str,
    *,
    restored_to: Annotated[
        datetime, typer.Option(metavar="MOMENT", parser=moment, help="when the backup was made, with its offset")
    ],
    as_json: AsJson = False,
) -> None:
    """List the erasures since a backup whose people are in the restored store; changes nothing.

    Run it before the store is opened to its users, until it lists none. Status 3 while it lists some.
    """
    requests = asyncio.run(_reconcile(system, restored_to))
    if as_json:
        typer.echo(orjson.dumps({"system": system, "requests": requests}))
    else:
        typer.echo("\n".join([f"{system} holds the data of {len(requests)} erasures since", *requests]))
    if requests:
        raise typer.Exit(_LEFT)


async def _reconcile(name: str, restored_to: datetime) -> Sequence[str]:
    settings = _Settings()
    vault_keys = keyring.load(settings.vault.keyring)
    declared = Downstreams.load(settings.work.downstreams, Wiring.of_command(settings.policy.read_processing()))
    try:
        store: object = declared.get(name).adapter
        if not isinstance(store, Listable):
            raise Misconfigured(f"{name} does not list its people: compare it by hand with the erasures since")
        async with await connect_pool(settings.postgres, ServiceName.ERASURE) as pool:
            return sorted(map(str, await restored.find(pool, vault_keys, store, restored_to)))
    finally:
        await declared.close()
