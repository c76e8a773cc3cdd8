"""The company's own part of the CRM: since when a number is a customer's, and what their data may still be used for."""

from trytond.modules.number_assignment.contact_mechanism import ContactMechanism
from trytond.modules.number_assignment.party import Party
from trytond.pool import Pool

__all__ = ["register"]


def register() -> None:
    """Tell Tryton about the classes of this module."""
    Pool.register(ContactMechanism, Party, module="number_assignment", type_="model")
