"""Decodes a fetched batch record by record, so that an unreadable record costs no other.

aiokafka decodes a fetched batch as a whole and raises at its first bad record, again and again, for ever. It takes
another decoder in one place only: the name ``MemoryRecords`` of its fetcher.
"""

import gzip
import io
import struct
import zlib
from collections.abc import Iterator
from functools import partial

import aiokafka.consumer.fetcher as library
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import decode_varint

UNREADABLE = "\udc00"
"""The only header of a record that could not be read; its value says why. No UTF-8 decodes to this name."""

_LENGTH = struct.Struct(">8xi")
_ATTRIBUTES = struct.Struct(">h")
_COUNT = struct.Struct(">i")
_LENGTH_ENDS, _ATTRIBUTES_AT, _COUNT_AT, _HEADER = 12, 21, 57, 61
_CODEC = 0b111
_CODECS = {2: "snappy", 3: "lz4", 4: "zstd"}
_GZIP = 1

_BROKEN = (CorruptRecordException, ValueError, IndexError, struct.error)
"""Errors of decoding; a header name that is no UTF-8 raises ``ValueError``."""


def decode_record_by_record(unpacked_bytes: int) -> None:
    """Makes every consumer of this process read on behind a bad record; a batch may unpack to so many bytes."""
    library.MemoryRecords = partial(_Batches, unpacked_bytes)


class _Unread:
    """Stands for a record that could not be read, in the form that aiokafka expects."""

    __slots__ = ("headers", "offset")
    timestamp, timestamp_type, key, value, checksum = 0, 0, None, None, None

    def __init__(self, offset: int, reason: str) -> None:
        self.offset = offset
        self.headers = [(UNREADABLE, reason.encode())]


class _Batches:
    """The batches of one answer of the broker; the last may be cut off, and is asked for again."""

    def __init__(self, unpacked_bytes: int, answer: bytes) -> None:
        self._limit = unpacked_bytes
        self._answer = memoryview(answer)
        self._at = 0

    def size_in_bytes(self) -> int:
        return len(self._answer)

    def has_next(self) -> bool:
        return self._end() <= len(self._answer)

    def next_batch(self) -> "_Batch":
        begin, self._at = self._at, self._end()
        return _Batch(bytes(self._answer[begin : self._at]), self._limit)

    def _end(self) -> int:
        """Returns the offset at which the next batch ends, or would end."""
        if len(self._answer) - self._at < _HEADER:
            return len(self._answer) + 1
        length: int = _LENGTH.unpack_from(self._answer, self._at)[0]
        return self._at + _LENGTH_ENDS + length


class _Batch:
    """A batch of records of which each is one, or stands for one that could not be read."""

    def __init__(self, content: bytes, unpacked_bytes: int) -> None:
        self._content = content
        self._limit = unpacked_bytes
        self._whole = DefaultRecordBatch(content)

    def __getattr__(self, name: str) -> object:
        return getattr(self._whole, name)

    def __iter__(self) -> Iterator[object]:
        base = self._whole.base_offset
        attributes: int = _ATTRIBUTES.unpack_from(self._content, _ATTRIBUTES_AT)[0]
        head, body = self._content[:_HEADER], self._content[_HEADER:]
        if codec := attributes & _CODEC:
            if codec != _GZIP:
                return iter([_Unread(base, f"a batch in the codec {_CODECS.get(codec, codec)}")])
            try:
                body = self._unpacked()
            except (OSError, EOFError, zlib.error):
                return iter([_Unread(base, "a batch that cannot be unpacked")])
            if len(body) > self._limit:
                return iter([_Unread(base, f"a batch that unpacks to more than {self._limit} bytes")])
            plain = _ATTRIBUTES.pack(attributes & ~_CODEC)
            head = head[:_ATTRIBUTES_AT] + plain + head[_ATTRIBUTES_AT + _ATTRIBUTES.size :]
        try:
            return iter(list(DefaultRecordBatch(head + body)))
        except _BROKEN:
            return _one_by_one(head, body)

    def _unpacked(self) -> bytes:
        with gzip.GzipFile(fileobj=io.BytesIO(self._content[_HEADER:])) as packed:
            return packed.read(self._limit + 1)


def _one_by_one(head: bytes, body: bytes) -> Iterator[object]:
    """Decodes each record of a batch as a batch of one."""
    base: int = DefaultRecordBatch(head).base_offset
    alone, count = head[:_COUNT_AT] + _COUNT.pack(1), _COUNT.unpack_from(head, _COUNT_AT)[0]
    at, offset = 0, base
    for _ in range(count):
        try:
            length, begins = decode_varint(body, at)
            end = begins + length
            delta_at = decode_varint(body, begins + 1)[1]  # behind the attributes, a byte, and the time
            offset = base + decode_varint(body, delta_at)[0]
        except _BROKEN:
            break
        if not begins < end <= len(body):
            break
        try:
            yield from DefaultRecordBatch(alone + body[at:end])
        except _BROKEN:
            yield _Unread(offset, "a header name that is no text, or a length that is wrong")
        at, offset = end, offset + 1
    else:
        return
    yield _Unread(offset, "the rest of a batch whose records cannot be separated")
