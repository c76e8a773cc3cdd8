"""A customer's number with the half-open period in which it was assigned to them."""

import phonenumbers
from trytond.model import fields
from trytond.pool import PoolMeta


class ContactMechanism(metaclass=PoolMeta):
    """A number or address of a party; ``valid_from`` and ``valid_to`` are UTC, and mean numbers only."""

    __name__ = "party.contact_mechanism"

    valid_from = fields.Timestamp("Assigned From", help="When the number was assigned to the party.")
    valid_to = fields.Timestamp("Assigned To", help="When the number ceased to be the party's; empty: it still is.")

    def _parse_phonenumber(self, value: str) -> phonenumbers.PhoneNumber | None:
        # A carrier opens number ranges before the public numbering plan knows them: what can be dialled is accepted.
        number = super()._parse_phonenumber(value)
        if number is not None:
            return number
        try:
            number = phonenumbers.parse(value, None)
        except phonenumbers.NumberParseException:
            return None
        return number if phonenumbers.is_possible_number(number) else None
