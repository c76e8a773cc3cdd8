"""An incident as it stands, as the API shows it: who has stated what, and who must be notified; pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field, computed_field

from services.intake.core.schemas import Instant
from services.intake.incidents.schemas import (
    IncidentClosed,
    IncidentFacts,
    Kind,
    Notified,
    RiskDecided,
    Whom,
)

Said: TypeAlias = IncidentFacts | RiskDecided | Notified | IncidentClosed
_WITHIN: Final = timedelta(hours=72)
_FCC_ALWAYS: Final = 500
"""From so many customers on the FCC is notified even without a risk; of fewer it gets a summary each year."""


class IncidentRow(BaseModel):
    """An incident in the list."""

    incident_id: UUID
    request_id: UUID | None = Field(description="in whose handling it happened, if in any")
    fault: str | None = Field(description="why a package should not have been handed out; null: found elsewhere")
    downloads: int
    opened_at: Instant = Field(description="when it came on record")
    found_at: Instant = Field(description="when we became aware of it")
    owner: str | None = Field(description="who has stated the facts")
    categories: list[str] | None = Field(description="of data, as the policy names them")
    people: int | None = Field(description="concerned, approximately")
    told_at: Instant | None = Field(description="when the authority was notified first (Art. 33(1))")
    proposed_by: str | None = Field(description="whose decision waits for a second person")
    closed_at: Instant | None

    @computed_field(description="until when the authority is notified, unless there is no risk")  # type: ignore[prop-decorator]
    @property
    def notify_by(self) -> Instant:
        """Returns when the 72 hours end."""
        return self.found_at + _WITHIN


class Entry(BaseModel):
    """What one person has stated, and when; what is stated later counts, and nothing is deleted."""

    entry_id: UUID
    kind: Kind
    said_by: str
    approved_by: str | None = None
    said_at: Instant
    said: Said


class IncidentLetter(BaseModel):
    """A letter about an incident; it is read with its request."""

    request_id: UUID
    letter_id: UUID
    state: Literal["waiting", "sent", "person", "spared", "given_up", "unannounced"] | None = Field(
        description="of its delivery, or of the mail that says that it can be read in the portal; `unannounced`: there"
        " is no such mail; null: the requester fetches it"
    )


class Incident(IncidentRow):
    """Everything that is documented of an incident (Art. 33(5))."""

    entries: Sequence[Entry]
    letters: Sequence[IncidentLetter]

    @property
    def facts(self) -> IncidentFacts | None:
        """The facts as they were stated last."""
        return next((each.said for each in reversed(self.entries) if isinstance(each.said, IncidentFacts)), None)

    @property
    def decision(self) -> tuple[Entry, RiskDecided] | None:
        """The last decision of two people about these facts; other facts make it void."""
        found: tuple[Entry, RiskDecided] | None = None
        facts: IncidentFacts | None = None
        for each in self.entries:
            match each.said:
                case IncidentFacts() as stated:
                    found, facts = found if stated == facts else None, stated
                case RiskDecided() as risk:
                    found = each, risk
        return found

    @property
    def notices(self) -> list[tuple[datetime, Notified]]:
        """Each notice, and when it was noted."""
        return [(each.said_at, each.said) for each in self.entries if isinstance(each.said, Notified)]


def owed(facts: IncidentFacts, said: RiskDecided) -> set[Whom]:
    """Who must be notified."""
    owed = set[Whom]()
    if said.risk != "none":
        owed = {"authority" if each == "us" else "controller" for each in facts.controllers}
    american = facts.us_customers > 0 and said.risk != "none"
    if american or facts.us_customers >= _FCC_ALWAYS:
        owed.add("fcc")
    high = said.risk == "high" and "us" in facts.controllers
    if (high or american) and said.exemption not in {"protected", "averted"}:
        owed.add("subjects")
    return owed
