"""Adds to a party what its data may be used for, and which requests about it are open."""

from trytond.model import fields
from trytond.pool import PoolMeta
from trytond.pyson import Eval


class Party(metaclass=PoolMeta):
    """A customer; while ``restricted`` (Art. 18) only the privacy team finds them."""

    __name__ = "party.party"

    restricted = fields.Boolean("Restricted", help="Processing is restricted: only the privacy team finds the party.")
    marketing_opt_out = fields.Boolean("No Marketing", help="The party objected to direct marketing.")
    contract = fields.Selection(
        [(None, ""), ("none", "None"), ("active", "Active"), ("ended", "Ended")],
        "Contract",
        sort=False,
        help="Whether the party has a contract; empty: unknown.",
    )
    contract_ended_on = fields.Date("Contract Ended On", help="The last day of an ended contract.")
    invoice_open = fields.Selection(
        [(None, ""), ("no", "No"), ("yes", "Yes")], "Open Invoice", sort=False, help="An invoice is not settled."
    )
    disputed = fields.Selection(
        [(None, ""), ("no", "No"), ("yes", "Yes")], "Disputed", sort=False, help="A bill is disputed."
    )
    credit = fields.Numeric("Credit", digits=(16, 2), help="What the party has paid in advance; empty: none.")
    last_activity = fields.Date(
        "Last Activity", help="A click, a login, a purchase or a reply; what a mail proxy opens is none."
    )
    open_requests = fields.Char("Open Requests", help="Data subject requests of the party that are not answered yet.")

    @classmethod
    def __post_setup__(cls) -> None:
        super().__post_setup__()
        # Tryton locks every field of an inactive party, and the customer number of any: its own erasure keeps that
        # number, and the restriction of a former customer could not be noted.
        cls.code.states["readonly"] = (Eval("id", -1) >= 0) & Eval("active", d=True)
        ours = (cls.restricted, cls.marketing_opt_out, cls.open_requests)
        facts = (cls.contract, cls.contract_ended_on, cls.invoice_open, cls.disputed, cls.credit, cls.last_activity)
        for field in (*ours, *facts):
            field.states.pop("readonly")

    @staticmethod
    def default_restricted() -> bool:
        """Return false: a restriction needs a request."""
        return False

    @staticmethod
    def default_marketing_opt_out() -> bool:
        """Return false: an objection needs a request."""
        return False
