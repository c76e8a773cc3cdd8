"""Tables of the report: lines of cells, of which those that say the same stand together; pure."""

from collections.abc import Sequence

Line = tuple[str | None, Sequence[str]]
"""Its cells, and the category that it is about, if it is about one; of several, with a blank between them."""
Table = tuple[Sequence[str], Sequence[Line]]
"""Headings, and lines."""


def together(lines: Sequence[Line]) -> Sequence[Line]:
    """The same lines, in which kinds of data of which the same is said stand in one."""
    about: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for name, (kind, *said) in lines:
        about.setdefault(tuple(said), []).append((name or "", kind))
    return [
        (" ".join(name for name, _ in kinds), [", ".join(kind for _, kind in kinds), *said])
        for said, kinds in about.items()
    ]
