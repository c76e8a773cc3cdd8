"""Records as they go to the broker and as they come from it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Message:
    """A record for the broker or from it; ``key`` decides the partition and so the order.

    ``partition`` and ``offset`` say where the broker has it, ``unreadable`` why it has no content that we can read.
    """

    topic: str
    key: bytes
    value: bytes
    headers: dict[str, str] = field(default_factory=dict)
    partition: int | None = None
    offset: int | None = None
    unreadable: str = ""
