"""The command that compares a store restored from a backup with the erasures since."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import orjson
import typer
from pydantic import TypeAdapter, ValidationError

from services.erasure import restored
from shared.domain.clock import Moment, SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.operations import Operation
from shared.domain.topics import ServiceName
from shared.fulfilment.fulfilments import Fulfilments
from shared.messaging.unit_of_work import UnitOfWorkFactory
from shared.runtime.settings import Groups, PolicySettings, VaultSettings, WorkSettings
from shared.storage import keyring
from shared.storage.postgres import PostgresSettings, connect_pool
from shared.storage.vault import Vault
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
    erase: Annotated[int | None, typer.Option(metavar="N", min=1, help="erase these N people again")] = None,
    as_json: AsJson = False,
) -> None:
    """Count who is in a restored store and was erased since the backup; with --erase, erase them again.

    Run it before the store is opened to its users, until it counts none. Status 3 while it counts some.
    """
    requests = asyncio.run(_reconcile(system, restored_to, erase))
    if as_json:
        typer.echo(orjson.dumps({"system": system, "requests": requests, "erasing": erase is not None}))
    elif erase is None:
        typer.echo(f"{system} holds the data of {len(requests)} erasures since{': --erase N' if requests else ''}")
    else:
        typer.echo(f"{len(requests)} erasures begin again; run this without --erase to see what is left")
    if requests:
        raise typer.Exit(_LEFT)


async def _reconcile(name: str, restored_to: datetime, erase: int | None) -> Sequence[str]:
    settings = _Settings()
    vault, policy = Vault(keyring.load(settings.vault.keyring)), settings.policy.read_processing()
    declared = Downstreams.load(settings.work.downstreams, Wiring.of_command(policy))
    try:
        store: object = declared.get(name).adapter
        if not isinstance(store, Listable):
            raise Misconfigured(f"{name} does not list its people: compare it by hand with the erasures since")
        async with await connect_pool(settings.postgres, ServiceName.ERASURE) as pool:
            found = await restored.find(pool, vault.keyring, store, restored_to)
            if erase is not None and erase != len(found):
                raise Misconfigured(f"{name} holds the data of {len(found)} erasures, not {erase}: nothing was done")
            if erase:
                fulfilments = Fulfilments({Operation.ERASE: declared.stages(Operation.ERASE)})
                fulfilments.register(declared.all)
                async with UnitOfWorkFactory(pool, ServiceName.ERASURE, SystemClock(), vault, policy).begin() as tx:
                    await restored.erase(tx, fulfilments, name, found, restored_to)
    finally:
        await declared.close()
    return sorted(map(str, found))
