"""One thing that was looked up after the requests were closed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked up, in words, and whether it is as it must be."""

    holds: bool
    words: str
