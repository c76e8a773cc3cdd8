"""Accepts any dialable number as a contact, whether or not the public numbering plan knows it."""

import phonenumbers
from trytond.pool import PoolMeta


class ContactMechanism(metaclass=PoolMeta):
    """A number or address under which a party is reached; it tells nothing of whose a number is."""

    __name__ = "party.contact_mechanism"

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
