"""Names and lists of parameters as MariaDB reads them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

AT_ONCE = 500
"""Values or rows that one statement names."""
_T = TypeVar("_T")


def quoted(name: str) -> str:
    """A name as MariaDB reads it, whatever is in it."""
    return "`" + name.replace("`", "``") + "`"


def place_of(place: tuple[str, str]) -> str:
    """A table by its database and its name."""
    return f"{quoted(place[0])}.{quoted(place[1])}"


def marks(values: Sequence[object]) -> str:
    """A parameter for each value."""
    return ", ".join("?" * len(values))


def parts(values: Sequence[_T], most: int = AT_ONCE) -> Iterator[Sequence[_T]]:
    """The same, so many at a time."""
    return (values[start : start + most] for start in range(0, len(values), most))
