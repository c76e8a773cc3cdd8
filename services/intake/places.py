"""Where a list goes on: after a row that is known by its rank in the order of the list, and by its id."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Self
from uuid import UUID

_LAST: Final = 10**17
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """A row of a list: by what the list is ordered, as a number, and the id of the row."""

    at: int
    row_id: UUID

    @classmethod
    def read(cls, text: str) -> Self:
        """What ``str`` has written; raises ``ValueError`` if it is none."""
        at, _, row_id = text.partition(".")
        place = cls(int(at), UUID(row_id))
        if not 0 <= place.at < _LAST:
            raise ValueError("no place in a list")
        return place

    def __str__(self) -> str:
        return f"{self.at}.{self.row_id}"


def microseconds(moment: datetime) -> int:
    """The rank of a moment; ``moment_at`` has it again."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment_at(rank: int) -> datetime:
    """The moment of that rank."""
    return _EPOCH + timedelta(microseconds=rank)


FIRST: Final = Place(0, UUID(int=0))
"""Before every row."""
