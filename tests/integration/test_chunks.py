"""A large piece lies in the vault chunk by chunk, and none of them can be moved, exchanged or left out unnoticed."""

from contextlib import nullcontext
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from shared.domain.errors import Shredded
from shared.storage import chunks
from shared.storage.chunks import CHUNK, Chunked, ChunkWriter
from shared.storage.vault import Sealing
from tests.fixtures.engine import Harness, OpenHarness

CONTENT = bytes(range(256)) * (CHUNK // 256) * 2 + b"the end"


async def written(harness: Harness, subject: UUID, content: bytes = CONTENT) -> Chunked:
    async with harness.unit_of_work.begin() as tx:
        piece = Sealing(subject, "package", "export", b"")
        writer = ChunkWriter(lambda: nullcontext(tx.connection), tx.vault, piece, tx.now)
        for start in range(0, len(content), 700_001):
            await writer.write(content[start : start + 700_001])
        return await writer.close(tx.connection)


async def read(harness: Harness, piece: Chunked, first: int = 0, end: int | None = None) -> bytes:
    vault, upto = harness.unit_of_work.vault, piece.size if end is None else end
    return b"".join([each async for each in chunks.read(harness.pool, vault, piece, first, upto)])


async def test_any_part_of_it_is_read_as_it_was_written_and_it_goes_with_the_piece(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    piece = await written(harness, await harness.subject())
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.chunk") == 3
    async with harness.pool.acquire() as connection:
        assert await chunks.find(connection, harness.unit_of_work.vault, piece.sealed_id) == piece
    assert await read(harness, piece) == CONTENT
    for first, end in (
        (0, 1),
        (CHUNK - 1, CHUNK + 1),
        (CHUNK, 2 * CHUNK),
        (2 * CHUNK + 3, piece.size),
        (5, piece.size),
    ):
        assert await read(harness, piece, first, end) == CONTENT[first:end]
    assert CONTENT[:64] not in await harness.pool.fetchval("SELECT content FROM vault.chunk WHERE position = 0")
    async with harness.pool.acquire() as connection:
        await harness.unit_of_work.vault.drop_one(connection, piece.sealed_id)
    assert await harness.pool.fetchval("SELECT count(*) FROM vault.chunk") == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE vault.chunk SET position = 1 - position WHERE position < 2",
        """UPDATE vault.chunk c SET content = o.content FROM vault.chunk o
           WHERE c.sealed_id = $1 AND o.sealed_id = $2 AND c.position = o.position""",
        "UPDATE vault.chunk SET content = set_byte(content, 40, 1 - get_byte(content, 40) % 2) WHERE position = 1",
    ],
    ids=["moved", "of another piece of the same subject", "changed"],
)
async def test_a_chunk_that_is_not_the_one_that_was_sealed_there_opens_as_nothing(
    open_harness: OpenHarness, change: str
) -> None:
    harness = await open_harness()
    subject = await harness.subject()
    piece, other = await written(harness, subject), await written(harness, subject, bytes(len(CONTENT)))
    if "position = 1 - position" in change:
        await harness.pool.execute("ALTER TABLE vault.chunk DROP CONSTRAINT chunk_pkey")
    await harness.pool.execute(change, *([piece.sealed_id, other.sealed_id] if "$1" in change else []))
    with pytest.raises(InvalidTag):
        await read(harness, piece)


async def test_one_that_is_missing_and_a_key_that_is_gone_break_it_off(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    piece = await written(harness, subject := await harness.subject())
    await harness.pool.execute("DELETE FROM vault.chunk WHERE position = 2")
    with pytest.raises(Shredded):
        await read(harness, piece)
    async with harness.unit_of_work.begin() as tx:
        await tx.vault.shred(tx.connection, [subject], tx.now)
    with pytest.raises(Shredded):
        await read(harness, piece, 0, 1)


async def test_a_piece_that_says_to_be_another_is_none(open_harness: OpenHarness) -> None:
    harness = await open_harness()
    subject = await harness.subject()
    piece, other = await written(harness, subject), await written(harness, subject, b"shorter")
    await harness.pool.execute(
        "UPDATE vault.sealed s SET content = o.content FROM vault.sealed o WHERE s.sealed_id = $1 AND o.sealed_id = $2",
        piece.sealed_id,
        other.sealed_id,
    )
    async with harness.pool.acquire() as connection:
        with pytest.raises(ValueError, match="exchanged"):
            await chunks.find(connection, harness.unit_of_work.vault, piece.sealed_id)
