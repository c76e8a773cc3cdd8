"""The platform's own database: connections, and the numbered migrations that shape it."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import orjson

from shared.bus.topics import ServiceName
from shared.errors import Misconfigured
from shared.settings import PostgresSettings

ROOT = Path(__file__).resolve().parent.parent
AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.TooManyConnectionsError,
    OSError,
    TimeoutError,
)
"""What is raised while the database is away: wait and do the same again."""

AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What is raised when two transactions met: do the same again at once."""

_MIGRATION_LOCK = 7_215_001
_FULFILLING = (ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT, ServiceName.DEADLINE)


async def connect_pool(settings: PostgresSettings, service: ServiceName) -> asyncpg.Pool:
    """Opens a pool whose connections see the service's own schema by default."""
    return await asyncpg.create_pool(
        settings.dsn,
        min_size=1,
        max_size=settings.pool_size,
        command_timeout=60,
        init=_speak_json,
        server_settings={
            "search_path": service,
            "application_name": f"dsr-{service}",
            "jit": "off",
            # a plan made while a table was empty must not live on when it is full
            "plan_cache_mode": "force_custom_plan",
            "enable_seqscan": "off",
        },
    )


async def _speak_json(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda content: orjson.loads(content[1:]),
    )


async def migrate(dsn: str) -> list[str]:
    """Applies every migration that the database has not seen, in order; returns their names.

    Raises ``Misconfigured`` if a migration that was applied has been edited since.
    """
    connection = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK)
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS public.migration"
                " (name text PRIMARY KEY, sha256 text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
            )
            applied = dict(await connection.fetch("SELECT name, sha256 FROM public.migration"))
            return [name for name, schema, path in _migrations() if await _apply(connection, applied, name, schema, path)]
    finally:
        await connection.close()


async def _apply(
    connection: asyncpg.Connection, applied: dict[str, str], name: str, schema: str | None, path: Path
) -> bool:
    text = path.read_text()
    digest = hashlib.sha256(text.encode()).hexdigest()
    if name in applied:
        if applied[name] != digest:
            message = f"migration {name} was applied and has been edited since: add a new one instead"
            raise Misconfigured(message)
        return False
    if schema:
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    await connection.execute(f"SET LOCAL search_path = {schema or 'public'}")
    await connection.execute(text)
    await connection.execute("INSERT INTO public.migration (name, sha256) VALUES ($1, $2)", name, digest)
    return True


def _migrations() -> Iterator[tuple[str, str | None, Path]]:
    sql = ROOT / "shared" / "sql"
    for path in sorted((sql / "platform").glob("*.sql")):
        yield f"platform/{path.stem}", None, path
    for service in ServiceName:
        kinds = ["service", "fulfilment"] if service in _FULFILLING else ["service"]
        for kind in kinds:
            for path in sorted((sql / kind).glob("*.sql")):
                yield f"{service}/{kind}/{path.stem}", service, path
        for path in sorted((ROOT / "services" / service / "sql").glob("[0-9]*.sql")):
            yield f"{service}/{path.stem}", service, path


if __name__ == "__main__":
    import asyncio

    for name in asyncio.run(migrate(PostgresSettings().dsn)):  # type: ignore[call-arg]
        print(name)  # noqa: T201
