"""A MariaDB that goes away while a connection to it is made."""

import asyncmy
import pytest

from shared.downstreams.sql.mariadb import connection


async def test_socket_that_closes_while_connecting_counts_as_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async def closed(**_: object) -> None:
        raise RuntimeError("Transport does not expose socket instance")

    monkeypatch.setattr(asyncmy, "connect", closed)
    with pytest.raises(OSError, match="does not expose socket"):
        await connection.opened(connection.Address("127.0.0.1", 1, "u", "d", password="p"), 1)
