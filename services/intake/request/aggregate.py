"""The request as an aggregate: each cause of ``lifecycle`` is a method; pure, no clock, no database.

A method returns a ``Transition``, or raises ``IllegalTransition`` where the lifecycle has no such step. What arrives
too late on the bus is no error: it is a transition that changes nothing and is named in the evidence. The files of
``causes`` hold the methods by who or what moves the request.
"""

from dataclasses import dataclass
from typing import TypeAlias

from services.intake.request import transition
from services.intake.request.causes.delivery import MovedByDelivery
from services.intake.request.causes.person import MovedByPackage, MovedByPerson, MovedByWeighing
from services.intake.request.causes.requester import MovedByOtherRequests, MovedByRequester
from services.intake.request.causes.system import MovedBySystem


@dataclass(slots=True)
class Request(
    MovedByRequester,
    MovedByPerson,
    MovedBySystem,
    MovedByOtherRequests,
    MovedByWeighing,
    MovedByPackage,
    MovedByDelivery,
):
    """A data subject request, and what moves it."""


Transition: TypeAlias = transition.Transition[Request]
