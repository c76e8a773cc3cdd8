"""Writes a ZIP while its files are made (APPNOTE.TXT 6.3.10), one chunk in memory at a time."""

import asyncio
import hashlib
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

Write = Callable[[bytes], Awaitable[None]]
_IN_PASSING = 2**16
"""Bytes that the event loop packs at a time: about a millisecond of work."""


@dataclass(slots=True)
class File:
    """A file of the archive, with size in bytes and SHA-256 of its content."""

    name: str
    put: Write
    size: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """Returns the digest in hex."""
        return self._hash.hexdigest()

    async def write(self, content: bytes) -> None:
        """Adds to the file."""
        self.size += len(content)
        self._hash.update(content)
        await self.put(content)


class Archive:
    """One file after the other goes in, and the packed bytes come out at ``write``.

    ``at``: when every file was made, as the archive says it. ``large``: a file may have more than 2 GiB (ZIP64).
    """

    def __init__(self, at: datetime, write: Write, *, large: bool = False) -> None:
        self._stamp = at.timetuple()[:6]
        self._write = write
        self._large = large
        self._packed = _Packed()
        self._zip = zipfile.ZipFile(self._packed, "w", zipfile.ZIP_DEFLATED)
        self.files: list[File] = []

    @asynccontextmanager
    async def file(self, name: str) -> AsyncIterator[File]:
        """Opens a file to write to until the block ends."""
        entry = zipfile.ZipInfo(name, self._stamp)
        entry.compress_type = zipfile.ZIP_DEFLATED
        opened = self._zip.open(entry, "w", force_zip64=self._large)

        async def put(content: bytes) -> None:
            if len(content) < _IN_PASSING:
                opened.write(content)
            else:
                await asyncio.to_thread(opened.write, content)
            await self._drain()

        made = File(name, put)
        try:
            yield made
        finally:
            opened.close()
        await self._drain()
        self.files.append(made)

    async def add(self, name: str, content: bytes) -> None:
        """Adds a complete file."""
        async with self.file(name) as opened:
            await opened.write(content)

    async def close(self) -> None:
        """Ends the archive with its table of contents."""
        self._zip.close()
        await self._drain()

    async def _drain(self) -> None:
        if self._packed.waiting:
            content = bytes(self._packed.waiting)
            self._packed.waiting.clear()
            await self._write(content)


class _Packed:
    """Buffers packed bytes until they are taken; it cannot seek."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, content: bytes) -> int:
        self.waiting += content
        return len(content)

    def flush(self) -> None:
        """Does nothing: there is no file below."""

    def close(self) -> None:
        """Does nothing: it holds nothing open."""
