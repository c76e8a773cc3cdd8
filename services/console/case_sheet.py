"""The case sheet in the console: beside every decision about a request, for those who may read it."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from services.console.console import Person, Works
from services.console.roles import WORDS, Power
from services.intake.api import case_sheet
from shared.domain.errors import Shredded

CLOSED: Final[Mapping[str, object]] = {"sheet": None, "no_sheet": ""}
"""The facts of the template ``case_sheet.html`` before anybody has opened it."""


async def opened(works: Works, person: Person, request_id: UUID) -> Mapping[str, object]:
    """The sheet, or why it cannot be read; the opening is on record."""
    if not person.may(Power.READ):
        return {**CLOSED, "no_sheet": f"None of your roles may {WORDS[Power.READ]}."}
    services = works.services
    try:
        return {
            **CLOSED,
            "sheet": await case_sheet.read(services.unit_of_work, services.use_cases.mail, request_id, person.caller),
        }
    except Shredded as gone:
        return {**CLOSED, "no_sheet": f"{str(gone).capitalize()}."}
