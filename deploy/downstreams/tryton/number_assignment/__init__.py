"""The company's own part of the CRM: whose a number is and was, and what customers' data may still be used for."""

from trytond.modules.number_assignment.contact_mechanism import ContactMechanism
from trytond.modules.number_assignment.number_assignment import NumberAssignment
from trytond.modules.number_assignment.party import Party
from trytond.pool import Pool

__all__ = ["register"]


def register() -> None:
    """Tell Tryton about the classes of this module."""
    Pool.register(ContactMechanism, NumberAssignment, Party, module="number_assignment", type_="model")
