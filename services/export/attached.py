"""The files of a package: their names, and files that hang on records, by names that are safe anywhere; pure."""

import hashlib
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pydantic import JsonValue

DATA: Final = "data.jsonl"
DESCRIPTION: Final = "package.json"
STEPS: Final = "request.jsonl"
SCHEMA: Final = "schema.json"

Write = Callable[[bytes], Awaitable[None]]

FOLDER: Final = "files/"
ENCODED: Final = "content_base64"
"""The field in which a system gives the content of a file."""
NAMED: Final = "content_file"
"""The field of a record in a package that names the file with that content."""
_OPENED: Final = re.compile(
    "pdf|txt|csv|log|md|json|xml|ics|vcf|eml|png|jpe?g|gif|bmp|tiff?|webp|heic|wav|mp3|m4a|ogg|opus|flac|mp4|mov|webm"
    "|docx?|odt|rtf|xlsx?|ods|pptx?|odp|zip|gz"
)
"""Endings by which a computer shows or plays a file; any other may have it run, or show a page as if it were ours."""


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


class Attached(NamedTuple):
    """A file of the package and what is in it."""

    name: str
    content: bytes


def apart(data: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], Attached | None]:
    """The fields of a record, its file named in the place of its content; and the file, if it has one.

    The content gives its name, and the record the ending: the name is the same each time, and has no person's name in
    it. What is no Base64 is no file, and stays.
    """
    encoded = data.get(ENCODED)
    if not isinstance(encoded, str):
        return data, None
    try:
        content = b64decode(encoded, validate=True)
    except ValueError:
        return data, None
    name = f"{FOLDER}file-{hashlib.sha256(content).hexdigest()[:12]}.{_ending(data.get('name'))}"
    return {NAMED if key == ENCODED else key: name if key == ENCODED else data[key] for key in data}, Attached(
        name, content
    )


def _ending(name: JsonValue) -> str:
    """Returns the ending of a name if a computer only shows or plays such files."""
    ending = name.rpartition(".")[2].lower() if isinstance(name, str) else ""
    return ending if _OPENED.fullmatch(ending) else "bin"
