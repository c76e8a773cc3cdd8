"""Decoding record by record: what a fetched batch holds, however it is broken, within bounded memory."""

import struct
import tracemalloc
from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.util import calc_crc32c

from shared.messaging import decoding
from tests.fixtures.hostile import batch

LIMIT = 1024 * 1024


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The decoder that aiokafka uses."""
    monkeypatch.setattr(fetcher, "MemoryRecords", None)
    decoding.decode_record_by_record(LIMIT)
    return fetcher.MemoryRecords


def read(answer: Any) -> list[tuple[int, bytes | None]]:
    """Offset and value of each record; none where it could not be read."""
    found = []
    while answer.has_next():
        one = answer.next_batch()
        assert one.validate_crc()
        found += [(record.offset, record.value) for record in one]
    return found


def test_a_batch_that_is_cut_off_is_left_for_the_next_answer(library: Any) -> None:
    whole = batch((b"a", []), (b"b", [("name", b"value")]))
    for cut in (0, 5, 70):
        assert read(library(whole + whole[:cut])) == [(0, b"a"), (1, b"b")]


def test_a_bomb_costs_little_more_memory_than_its_limit(library: Any) -> None:
    bomb = batch((bytes(64 * LIMIT), []), gzip=True)
    tracemalloc.start()
    try:
        assert read(library(bomb)) == [(0, None)]
        assert tracemalloc.get_traced_memory()[1] < 4 * LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("at", range(61, 80))
def test_a_length_that_is_wrong_costs_only_what_can_no_longer_be_told_apart(library: Any, at: int) -> None:
    content = bytearray(batch((b"a" * 5, [("n", b"v")]), (b"b" * 5, [("n", b"v")])))
    content[at] = 0x7F
    struct.pack_into(">I", content, 17, calc_crc32c(bytes(content[21:])))
    assert 1 <= len(read(library(bytes(content)))) <= 3
