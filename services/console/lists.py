"""A page of lists: what waits, row by row, with what can be decided about each."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.responses import Response

from services.web.site import Visit

T = TypeVar("T")
ROWS: Final = 200
"""How many rows a list shows at a time."""
END: Final = "This is the end of the list."


@dataclass(frozen=True, slots=True)
class Link:
    """Where a cell or an action leads."""

    path: str
    word: str


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of a row, the first of which names it, and what can be done about it."""

    cells: Sequence[str | Link]
    actions: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one kind; ``none``: what is said where there are none; ``more``: where the list goes on."""

    title: str
    lead: str
    columns: Sequence[str]
    rows: Sequence[Row]
    none: str
    actions: Sequence[Link] = ()
    more: Link | None = None


def cut(found: Sequence[T], most: int, path: str, place: Callable[[T], object]) -> tuple[Sequence[T], Link | None]:
    """The first of those found, and where the list goes on, if there are more; ``place``: of a row, to go on after."""
    if len(found) <= most:
        return found, None
    return found[:most], Link(f"{path}{place(found[most - 1])}", "Show those after these")


def at_most(lead: str, found: Sequence[object], most: int) -> str:
    """What is said above a list that shows no more than so many rows: where it is cut, that it is."""
    return lead if len(found) < most else f"{lead} The first {most} are shown: see to them, and the others follow."


def show(visit: Visit, title: str, tables: Iterable[Table], links: Sequence[Link] = ()) -> Response:
    """The page with these tables; what was done just before is said on top."""
    noted = visit.session.data.pop("noted", None)
    return visit.page("lists.html", title=title, tables=[*tables], links=links, noted=noted)
