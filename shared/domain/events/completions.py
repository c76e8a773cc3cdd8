"""Defines the results of fulfilment, on the topic of each right (``COMPLETIONS``)."""

from typing import Literal
from uuid import UUID

from shared.domain.events.event import Event
from shared.domain.operations import TaskReport
from shared.domain.rights import Outcome
from shared.domain.text import Word
from shared.domain.topics import COMPLETIONS, Topic


class FulfilmentCompleted(Event, topic=COMPLETIONS):
    """Every downstream has done its part and was looked at again.

    ``deferred``: it is the erasure of what had to be kept at first, and the request was answered long before.
    """

    type: Literal["dsr.fulfilment.completed.v1"] = "dsr.fulfilment.completed.v1"
    operation: Word
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    deferred: bool = False


class FulfilmentBlocked(Event, topic=COMPLETIONS):
    """At least one downstream failed for good or could not be searched; somebody must say what happens next.

    ``deferred``: it is the erasure of what had to be kept at first.
    """

    type: Literal["dsr.fulfilment.blocked.v1"] = "dsr.fulfilment.blocked.v1"
    operation: Word
    tasks: tuple[TaskReport, ...]
    deferred: bool = False


class FulfilmentPostponed(Event, topic=Topic.ERASURE_COMPLETIONS):
    """Nothing of it is done yet: other requests of the same person come first, as their data have shown.

    ``opposed``: one of them is a restriction, which wants the data kept; a person must say which holds.
    ``dsr.request.retry_decided.v1`` lets it go on.
    """

    type: Literal["dsr.fulfilment.postponed.v1"] = "dsr.fulfilment.postponed.v1"
    operation: Word
    awaits: tuple[UUID, ...]
    opposed: bool = False


class FulfilmentReported(Event, topic=COMPLETIONS):
    """What is done of a request whose answer was decided or that was withdrawn, and what is not (no outcome).

    Where the work ends with that, and something was in hand at that moment, it comes again with what became of it.
    ``package_id``: a copy of what could be collected. ``so_far``: nothing is decided: it is what stopped at once.
    """

    type: Literal["dsr.fulfilment.reported.v1"] = "dsr.fulfilment.reported.v1"
    operation: Word | Literal[""]
    outcome: Outcome
    tasks: tuple[TaskReport, ...]
    package_id: UUID | None = None
    so_far: bool = False


class ErasurePlanned(Event, topic=Topic.ERASURE_COMPLETIONS):
    """What an erasure would do in each system, asked for by ``dsr.request.plan_asked.v1``: nothing was changed."""

    type: Literal["dsr.fulfilment.erasure_planned.v1"] = "dsr.fulfilment.erasure_planned.v1"
    plan_id: UUID
    tasks: tuple[TaskReport, ...]
