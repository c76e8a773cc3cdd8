"""A page of lists: what waits, row by row, with what can be decided about each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from services.intake.web.site import Visit


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
    """Rows of one kind; ``none``: what is said where there are none."""

    title: str
    lead: str
    columns: Sequence[str]
    rows: Sequence[Row]
    none: str
    actions: Sequence[Link] = ()


def show(visit: Visit, title: str, tables: Iterable[Table], links: Sequence[Link] = ()) -> Response:
    """The page with these tables; what was done just before is said on top."""
    noted = visit.session.data.pop("noted", None)
    return visit.page("lists.html", title=title, tables=[*tables], links=links, noted=noted)
