"""Unpacks one file of a ZIP in the vault while it is read, a block at a time.

The table of contents at the end of the archive says where the file is (APPNOTE.TXT 6.3.10, 4.3.6).
"""

import io
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from asyncpg import Pool

from shared.storage import chunks
from shared.storage.chunks import CHUNK, Chunked
from shared.storage.vault import Vault

_BLOCK: Final = 2**16
"""Bytes of a block: less than a millisecond of work."""
_LOCAL: Final = struct.Struct("<4s22xHH")
"""The header of a file (4.3.7): a mark, and at its end the lengths of the name and of the extra field."""
_MARK: Final = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Packed:
    """A file of an archive: its bytes there are ``[first, end)``."""

    archive: Chunked
    first: int
    end: int


async def find(pool: Pool, vault: Vault, archive: Chunked, name: str) -> Packed | None:
    """Where that file lies in the archive; None where there is none of that name; raises ``Shredded``."""
    start = max(archive.size - CHUNK, 0)
    try:
        with zipfile.ZipFile(_End(await _bytes(pool, vault, archive, start, archive.size), start)) as contents:
            entry = contents.getinfo(name)
    except (KeyError, zipfile.BadZipFile):
        return None
    head = await _bytes(pool, vault, archive, entry.header_offset, entry.header_offset + _LOCAL.size)
    mark, named, extra = _LOCAL.unpack(head)
    if mark != _MARK or entry.compress_type != zipfile.ZIP_DEFLATED:
        return None
    first = entry.header_offset + _LOCAL.size + named + extra
    return Packed(archive, first, first + entry.compress_size)


async def content(pool: Pool, vault: Vault, packed: Packed) -> AsyncIterator[bytes]:
    """The file, a block at a time; raises ``Shredded``."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    async for some in chunks.read(pool, vault, packed.archive, packed.first, packed.end):
        rest = some
        while rest:
            yield inflate.decompress(rest, _BLOCK)
            rest = inflate.unconsumed_tail
    yield inflate.flush()


async def _bytes(pool: Pool, vault: Vault, archive: Chunked, first: int, end: int) -> bytes:
    return b"".join([some async for some in chunks.read(pool, vault, archive, first, end)])


class _End(io.BytesIO):
    """The end of a file, which begins at ``start``; what lies before cannot be read."""

    def __init__(self, content: bytes, start: int) -> None:
        super().__init__(content)
        self._start = start

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        within = offset - self._start if whence == io.SEEK_SET else offset
        if within < 0 and whence == io.SEEK_SET:
            raise zipfile.BadZipFile("its table of contents is longer than that of any package")
        return super().seek(within, whence) + self._start

    def tell(self) -> int:
        return super().tell() + self._start
