"""The helpers of the platform's own database."""

from uuid import UUID

from shared.storage.postgres import connected, update_rows


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
