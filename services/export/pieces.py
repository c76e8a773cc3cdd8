"""What systems have given of a subject, as it lies in the vault, and what of it goes into which package; pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson
from pydantic import JsonValue

from shared.domain.rights import Right


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing that a system holds about the subject."""

    system: str
    category: str
    source: str
    data: dict[str, JsonValue]


def read(system: str, content: bytes, right: Right, portable: Callable[[str], bool]) -> Iterator[Piece]:
    """Decodes collected records, given as JSON; a portability takes of them what is portable, field by field (Art. 20).

    A record says whether the subject has provided it, or which of its fields they have not (a list of names).
    ``portable``: whether a category, as systems call it, can be taken elsewhere at all.
    """
    for category, source, data, provided, *_ in orjson.loads(content):
        if right is Right.ACCESS:
            yield Piece(system, category, source, data)
        elif provided is not False and portable(category):
            kept = data if provided is True else {name: data[name] for name in data if name not in provided}
            if kept:
                yield Piece(system, category, source, kept)
