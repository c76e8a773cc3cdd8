"""The files of a package: their names, and what is told of each; pure."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

DATA: Final = "data.jsonl"
DESCRIPTION: Final = "package.json"
STEPS: Final = "request.jsonl"
SCHEMA: Final = "schema.json"
CONTACTS: Final = "contacts.vcf"

Write = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class File:
    """A file of the archive: its length in bytes and its SHA-256, unpacked."""

    name: str
    put: Write
    size: int = 0
    _hash: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        """In hexadecimal."""
        return self._hash.hexdigest()

    async def write(self, content: bytes) -> None:
        """Adds to the file."""
        self.size += len(content)
        self._hash.update(content)
        await self.put(content)
