"""The request as an aggregate: each cause of ``services.intake.lifecycle`` is a method; pure, no clock, no database.

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

from services.intake import transition
from services.intake.by_delivery import MovedByDelivery
from services.intake.by_hold import MovedByHold
from services.intake.by_other_requests import MovedByOtherRequests
from services.intake.by_package import MovedByPackage
from services.intake.by_part import MovedByPart
from services.intake.by_person import MovedByPerson
from services.intake.by_requester import MovedByRequester
from services.intake.by_system import MovedBySystem
from services.intake.by_weighing import MovedByWeighing


@dataclass(frozen=True, slots=True)
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
