"""The request as an aggregate: each cause of ``lifecycle`` is a method; pure, no clock, no database.

A method returns a ``Transition``, or raises ``IllegalTransition`` where the lifecycle has no such step. What arrives
too late on the bus is no error: it is a transition that changes nothing and is named in the evidence. The methods lie
in nine files: what the requester does (``by_requester``), what a person of ours decides (``by_person``), what systems
report (``by_system``), what other requests of the same person do
(``by_other_requests``), what the weighing of an objection finds (``by_weighing``), what becomes of a package
(``by_package``), what becomes of a part whose system is gone (``by_part``), what a lifted hold lets go (``by_hold``),
what the delivery of a letter does (``by_delivery``).
"""

from dataclasses import dataclass
from typing import TypeAlias

from services.intake.request import transition
from services.intake.request.causes.delivery import MovedByDelivery
from services.intake.request.causes.other_requests import MovedByOtherRequests
from services.intake.request.causes.package import MovedByPackage
from services.intake.request.causes.part import MovedByPart
from services.intake.request.causes.person import MovedByPerson
from services.intake.request.causes.requester import MovedByRequester
from services.intake.request.causes.system import MovedByHold, MovedBySystem
from services.intake.request.causes.weighing import MovedByWeighing


@dataclass(slots=True)
class Request(
    MovedByRequester,
    MovedByPerson,
    MovedBySystem,
    MovedByOtherRequests,
    MovedByWeighing,
    MovedByPackage,
    MovedByPart,
    MovedByHold,
    MovedByDelivery,
):
    """A data subject request, and what moves it."""


Transition: TypeAlias = transition.Transition[Request]
