"""What the demonstration says: facts, each looked up and either as it must be or not, in sections."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked up after the requests were closed, in words, and whether it is as it must be."""

    holds: bool
    words: str


@dataclass(slots=True)
class Section:
    """What is shown of one thing, line by line: what a program or a person reads, and what was looked up of it."""

    title: str
    lines: list[str | Finding] = field(default_factory=list)

    def say(self, *lines: str) -> None:
        """What is read."""
        self.lines += lines

    def find(self, holds: bool, words: str) -> None:  # noqa: FBT001  # what was found comes first, as in an assertion
        """What was looked up, and whether it is so."""
        self.lines.append(Finding(holds, words))
