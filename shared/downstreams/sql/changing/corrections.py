"""How many rows show each correction of a task, noted with what was changed, so that a repeat says the same; pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

_PLACE = "correction."
"""Before the place of a correction, where otherwise the name of a category stands, which has no dot."""


def noted(changed: Mapping[str, int], shown: Sequence[int]) -> Counter[str]:
    """What was changed by category, and how many rows show each correction, as it is noted."""
    return Counter({**changed, **{f"{_PLACE}{place}": rows for place, rows in enumerate(shown)}})


def read(kept: Mapping[str, int], corrections: int) -> tuple[Counter[str], list[int]]:
    """The same as it was noted first."""
    changed = Counter({name: rows for name, rows in kept.items() if not name.startswith(_PLACE)})
    return changed, [kept.get(f"{_PLACE}{place}", 0) for place in range(corrections)]
