"""Pages of lists: every list takes ``limit`` and ``cursor``, and answers ``data`` and ``next_cursor``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field

from services.intake.core.errors import BadRequest

T = TypeVar("T")
S = TypeVar("S")
MOST: Final = 1000
"""Rows of a page, at most."""


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    data: list[T]
    next_cursor: str | None = Field(
        default=None, description="Send it as `cursor` to get the next page; null: this is the last one"
    )


@dataclass(frozen=True, slots=True)
class Paging:
    """Which page of a list is asked for."""

    limit: int
    cursor: str | None

    @property
    def most(self) -> int:
        """Rows of a list that is read whole, at most."""
        return MOST

    @property
    def more(self) -> int:
        """Rows to look for: one more than are shown, which tells whether another page follows."""
        return self.limit + 1

    def after(self, read: Callable[[str], S]) -> S | None:
        """Returns the row that the page follows; None: it is the first page. Raises ``BadRequest``."""
        try:
            return None if self.cursor is None else read(self.cursor)
        except ValueError:
            raise _invalid() from None

    def page(self, found: Sequence[T], cursor: Callable[[T], object]) -> Page[T]:
        """Returns the page of rows that were looked for after the cursor; ``cursor``: that of a row."""
        shown = found[: self.limit]
        return Page(data=[*shown], next_cursor=str(cursor(shown[-1])) if len(found) > self.limit else None)

    def cut(self, rows: Sequence[T], cursor: Callable[[T], object]) -> Page[T]:
        """Returns the page out of all rows of a list that is read whole. Raises ``BadRequest``."""
        known = [str(cursor(each)) for each in rows]
        if self.cursor is not None and self.cursor not in known:
            raise _invalid()
        first = 0 if self.cursor is None else known.index(self.cursor) + 1
        return self.page(rows[first : first + self.more], cursor)


def _invalid() -> BadRequest:
    return BadRequest("Invalid cursor. Omit it to get the first page.", "cursor")


async def _paging(
    limit: Annotated[int, Query(ge=1, le=MOST, description="Rows of the page, at most")] = 100,
    cursor: Annotated[str | None, Query(max_length=100, description="`next_cursor` of the page before")] = None,
) -> Paging:
    return Paging(limit, cursor)


Paged = Annotated[Paging, Depends(_paging)]
