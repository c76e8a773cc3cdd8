"""Who was told of what was done (Art. 19): what intake says of it, on ``Topic.REQUESTS``, and deadline of silence."""

from typing import Literal

from pydantic import AwareDatetime

from shared.domain.events.event import Event, SubjectRef
from shared.domain.text import Word
from shared.domain.topics import Topic


class RecipientConcerned(Event, topic=Topic.REQUESTS):
    """Data of the subject were disclosed to this recipient of the policy, who is to be told of what was done.

    ``told_at``: when they were told, if they were; else a notice is on its way, or a person tells them. It comes again
    when that notice comes back.
    """

    type: Literal["dsr.request.recipient_concerned.v1"] = "dsr.request.recipient_concerned.v1"
    subject: SubjectRef
    recipient: Word
    concerned_at: AwareDatetime
    told_at: AwareDatetime | None = None


class RecipientTold(Event, topic=Topic.REQUESTS):
    """This recipient was told, by a person or by a notice that the next server has accepted; their word is awaited."""

    type: Literal["dsr.request.recipient_told.v1"] = "dsr.request.recipient_told.v1"
    subject: SubjectRef
    recipient: Word
    told_at: AwareDatetime


class RecipientSettled(Event, topic=Topic.REQUESTS):
    """The recipient has acknowledged the notice or done the same, or two persons have decided that none is sent."""

    type: Literal["dsr.request.recipient_settled.v1"] = "dsr.request.recipient_settled.v1"
    subject: SubjectRef
    recipient: Word
    how: Literal["acknowledged", "done", "impossible", "disproportionate"]
    settled_at: AwareDatetime


class RecipientSilent(Event, topic=Topic.DEADLINES):
    """A recipient has said nothing, or nobody has told them: they are reminded, or people of ours look."""

    type: Literal["dsr.deadline.recipient_silent.v1"] = "dsr.deadline.recipient_silent.v1"
    recipient: Word
    notice: Literal["reminder", "escalation", "untold"]
    working_days: int
