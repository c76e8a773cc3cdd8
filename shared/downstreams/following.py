"""How far what a system tells of somebody is followed in it, until nothing new is found."""

from typing import Final

from shared.domain.errors import NotSupported

FAR: Final = 16
"""So many steps lead from what a person has said to all that is theirs; what leads on from there is a mix-up."""


def endless(system: str) -> NotSupported:
    """Why nothing is done there: nobody can tell whose all that is to which one record leads after another."""
    return NotSupported(
        f"{system} leads from what is known of the subject to ever more addresses and accounts: look whose they are, do"
        " it by hand, and enter what was done"
    )
