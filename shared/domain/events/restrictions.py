"""Restrictions (Art. 18): what intake says of them, on ``Topic.REQUESTS``."""

from datetime import date
from typing import Literal

from shared.domain.events.event import Event, SubjectRef
from shared.domain.topics import Topic


class RestrictionNeeded(Event, topic=Topic.REQUESTS):
    """A system cannot change at once what is said to be wrong: until then the data are restricted (Art. 18(1)(a))."""

    type: Literal["dsr.request.restriction_needed.v1"] = "dsr.request.restriction_needed.v1"
    subject: SubjectRef
    due_on: date


class LiftDecided(Event, topic=Topic.REQUESTS):
    """The subject has been told (Art. 18(3)) and the restriction is to be lifted."""

    type: Literal["dsr.request.lift_decided.v1"] = "dsr.request.lift_decided.v1"
    subject: SubjectRef
    due_on: date
