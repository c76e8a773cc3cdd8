"""Lists that are not in the order of their ids: a hundred rows at a time, each page after the last row before it."""

from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

from fastapi import Query
from pydantic import AfterValidator, Field

from services.intake.places import Place

T = TypeVar("T")
AT_A_TIME: Final = 100


def _place(text: str) -> str:
    try:
        Place.read(text)
    except ValueError:
        raise ValueError("it is no cursor of an answer: leave it out for the first page") from None
    return text


Cursor = Annotated[
    Annotated[str, AfterValidator(_place)] | None, Query(description="of the last answer: this page follows it")
]
Following = Annotated[str | None, Field(description="send it to get the next page; null: this is the last one")]


def after(cursor: str | None) -> Place | None:
    """The row that a cursor names."""
    return Place.read(cursor) if cursor else None


def paged(found: Sequence[T], place: Callable[[T], object]) -> tuple[Sequence[T], str | None]:
    """The rows of a page, and where the next one begins, if one more was found."""
    shown = found[:AT_A_TIME]
    return shown, str(place(shown[-1])) if len(found) > AT_A_TIME else None
