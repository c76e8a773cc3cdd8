"""Restrictions (Art. 18): what intake says of them, on ``Topic.REQUESTS``."""

from datetime import date
from typing import Literal

from shared.domain.events.event import Event, SubjectRef
from shared.domain.topics import Topic


class LiftDecided(Event, topic=Topic.REQUESTS):
    """The subject has been told (Art. 18(3)) and the restriction is to be lifted."""

    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date
