"""A question to whoever has asked, for as long as it is open; pure."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question to the requester that has no answer; ``last_notice_at``: they were told that we go on without.

    ``untold``: they cannot have read it yet; ``own_words``: a person has worded it; ``condition_recorded``: that by
    which it stops the clock is on file.
    """

    question_id: UUID
    asked_at: datetime
    last_notice_at: datetime | None = None
    untold: bool | None = None
    own_words: bool | None = None
    condition_recorded: bool | None = None
