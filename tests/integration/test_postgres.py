"""The helpers of the platform's own database."""

import socket
from typing import Any
from uuid import UUID

from shared.domain.topics import ServiceName
from shared.storage.postgres import PostgresSettings, connect_pool, connected, update_rows


async def test_many_rows_are_updated_by_their_key_and_no_other_row_is_touched(empty_database: str) -> None:
    async with connected(empty_database) as connection:
        await connection.execute("CREATE TABLE thing (id uuid PRIMARY KEY, name text, size int)")
        ids = [UUID(int=n) for n in range(3)]
        await connection.executemany("INSERT INTO thing VALUES ($1, 'old', 0)", [(each,) for each in ids])
        await update_rows(
            connection, "thing", "id", {"name": "text", "size": "int"}, [(ids[0], "a", 1), (ids[2], None, 3)]
        )
        await update_rows(connection, "thing", "id", {"name": "text"}, [])
        assert [tuple(row) for row in await connection.fetch("SELECT name, size FROM thing ORDER BY id")] == [
            ("a", 1),
            ("old", 0),
            (None, 3),
        ]


async def test_the_kernel_asks_whether_the_database_s_machine_is_still_there(database: str) -> None:
    pool = await connect_pool(PostgresSettings(dsn=database), ServiceName.ERASURE)
    async with pool.acquire() as connection:
        own: Any = connection
        reached = own._transport.get_extra_info("socket")  # noqa: SLF001  # nobody else can tell
        told = [reached.getsockopt(socket.IPPROTO_TCP, n) for n in (socket.TCP_KEEPIDLE, socket.TCP_USER_TIMEOUT)]
        assert (bool(reached.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), told) == (True, [2, 5_000])
    await pool.close()
