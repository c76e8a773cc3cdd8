"""The helpers of the platform's own database."""

import socket
from typing import Any
from uuid import UUID

import pytest
import uvloop

from shared.domain.topics import ServiceName
from shared.storage.keepalive import keep_alive
from shared.storage.postgres import AWAY, PostgresSettings, connect_pool, connected, may_stand_still, update_rows


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


def test_a_connection_that_is_lost_as_soon_as_it_is_made_is_an_outage_and_no_wrong_value(database: str) -> None:
    """To such a connection uvloop gives a file descriptor of -1."""

    async def lose() -> None:
        async with connected(database) as connection:
            own: Any = connection
            own._transport.abort()  # noqa: SLF001  # as when its server is gone
            with pytest.raises(AWAY):
                keep_alive(connection)

    uvloop.run(lose())


async def test_a_connection_goes_back_to_the_pool_without_what_its_last_user_set_or_left_open(database: str) -> None:
    pool = await connect_pool(PostgresSettings(dsn=database, pool_size=2), ServiceName.ERASURE, reserved=1)
    usual = await pool.fetchval("SHOW idle_in_transaction_session_timeout")
    with pytest.raises(ValueError, match="given up"):
        async with pool.acquire() as connection, connection.transaction(), may_stand_still(connection):
            raise ValueError("given up")
    async with pool.acquire() as connection:
        own: Any = connection
        left = own.transaction()
        await left.start()
        left_by = await own.fetchval("SELECT pg_backend_pid()")
    async with pool.acquire() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") == left_by
        assert not connection.is_in_transaction()
        assert await connection.fetchval("SHOW idle_in_transaction_session_timeout") == usual
    await pool.close()
