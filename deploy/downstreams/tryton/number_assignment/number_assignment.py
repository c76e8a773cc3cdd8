"""Models the assignment of numbers by the company, apart from the contacts that customers give."""

from sql import Null
from trytond.model import Check, ModelSQL, ModelView, fields


class NumberAssignment(ModelSQL, ModelView):
    """A number, or a SIP user with its domain, was assigned to a party for a half-open period (UTC).

    Written where numbers are provisioned. A contact of a party is no assignment, and correcting one changes none.
    """

    __name__ = "number.assignment"

    number = fields.Char("Number", required=True, help="In E.164 with its plus sign, or as sip:user@domain.")
    party = fields.Many2One("party.party", "Party", required=True, ondelete="CASCADE")
    valid_from = fields.Timestamp("Assigned From", required=True, help="When it was assigned to the party.")
    valid_to = fields.Timestamp("Assigned To", help="When it ceased to be the party's; empty: it still is.")
    line = fields.Selection(
        [("personal", "Personal"), ("shared", "Shared")],
        "Line",
        required=True,
        sort=False,
        help="Shared: several people use it, so that the owner of a call is unknown.",
    )

    @classmethod
    def __setup__(cls) -> None:
        super().__setup__()
        cls.__access__.add("party")  # users without access to the party see none of its numbers
        table = cls.__table__()
        cls._sql_constraints += [
            (
                "form_of_number",
                Check(table, table.number.like("+%") | table.number.like("sip:%@%")),
                "number_assignment.msg_form_of_number",
            ),
            (
                "period",
                Check(table, (table.valid_to == Null) | (table.valid_from < table.valid_to)),
                "number_assignment.msg_period",
            ),
        ]

    @staticmethod
    def default_line() -> str:
        """One person's, unless it is said to be several people's."""
        return "personal"
