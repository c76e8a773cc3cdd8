"""Reads the records that systems gave of a subject, and selects what belongs to a package; pure."""

import hashlib
import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import orjson
from pydantic import JsonValue

from shared.domain.rights import Right

DATA: Final = "data.jsonl"
DESCRIPTION: Final = "package.json"
STEPS: Final = "request.jsonl"
SCHEMA: Final = "schema.json"
FOLDER: Final = "files/"
ENCODED: Final = "content_base64"
"""The field with the content of a file."""
NAMED: Final = "content_file"
"""The field that names the file in the package."""
_OPENED: Final = re.compile(
    "pdf|txt|csv|log|md|json|xml|ics|vcf|eml|png|jpe?g|gif|bmp|tiff?|webp|heic|wav|mp3|m4a|ogg|opus|flac|mp4|mov|webm"
    "|docx?|odt|rtf|xlsx?|ods|pptx?|odp|zip|gz"
)
"""File endings that a computer only shows or plays; another ending might run code."""


class Attached(NamedTuple):
    """A file of the package with its content."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a system holds about the subject.

    ``anchors``: from when periods of the policy count for it, as ISO 8601, by what the policy calls that; ``states``:
    which of the states lasts by which its rules keep, None where that is not known. ``provided``: by the subject, but
    for the fields that are ``ours``. ``hidden``: fields that are left out or withheld, by whose part they are.
    ``attached``: a file that hangs on it, which ``data`` names.
    """

    system: str
    category: str
    source: str
    data: dict[str, JsonValue]
    anchors: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, bool | None] = field(default_factory=dict)
    provided: bool = True
    ours: Collection[str] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    attached: Attached | None = None

    @property
    def line(self) -> bytes:
        """Returns the record as a line of JSON."""
        said = {"system": self.system, "category": self.category, "source": self.source, "data": self.data}
        said |= {"hidden": self.hidden} if self.hidden else {}
        return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def read(system: str, content: bytes, right: Right, portable: Callable[[str], bool]) -> Iterator[Piece]:
    """Decodes collected records, given as JSON; a portability takes of them what is portable, field by field (Art. 20).

    A record says whether the subject has provided it, or which of its fields they have not (a list of names).
    ``portable``: whether a category, as systems call it, can be taken elsewhere at all.
    """
    for category, source, data, provided, *more in orjson.loads(content):
        anchors, states, hidden = (*more[1:4], {}, {}, {})[:3]
        if right is Right.ACCESS:
            ours = provided if isinstance(provided, list) else ()
            shown, file = apart(data)
            yield Piece(system, category, source, shown, anchors, states, provided is not False, ours, hidden, file)
        elif provided is not False and portable(category):
            kept = data if provided is True else {name: data[name] for name in data if name not in provided}
            if kept:
                shown, file = apart(kept)
                yield Piece(system, category, source, shown, anchors, states, attached=file)


def apart(data: dict[str, JsonValue]) -> tuple[dict[str, JsonValue], Attached | None]:
    """Splits a record into its fields, with a file name in place of the content, and the file, if it has one.

    The name is a hash of the content with the record's ending, so it is stable and names no person. Content that is not
    Base64 stays in the record.
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
