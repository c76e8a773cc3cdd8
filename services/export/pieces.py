"""Reads the records that systems gave of a subject, and selects what belongs to a package; pure."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import orjson
from pydantic import JsonValue

from services.export.attached import Attached, apart
from shared.domain.rights import Right


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
        """As it stands in a file of JSON Lines."""
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
