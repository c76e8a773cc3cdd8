"""Which bytes of something are asked for (RFC 9110, 14): one range; what is no range asks for all. Pure."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")


@dataclass(frozen=True, slots=True)
class Span:
    """From the byte ``first`` to the byte ``last``, or to the end; without ``first``: so many of the ``last`` ones."""

    first: int | None
    last: int | None

    def of(self, size: int) -> tuple[int, int] | None:
        """The bytes ``[first, end)`` of something of that size; None: it has none of these."""
        if self.first is None:
            first, end = max(size - (self.last or 0), 0), size
        else:
            first, end = self.first, size if self.last is None else min(self.last + 1, size)
        return (first, end) if first < end else None


def asked(header: str | None, if_range: str | None, tag: str) -> Span | None:
    """The range that is asked for, of what has that entity tag now; None: all of it.

    Several ranges, another unit, what is malformed, and a range of what has changed since, ask for all.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or (if_range is not None and if_range != tag):
        return None
    first, last, suffix = (int(each) if each else None for each in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return Span(first, suffix if first is None else last)
