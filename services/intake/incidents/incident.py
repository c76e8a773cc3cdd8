"""An incident as it is documented: what people state of it, what follows, and who must be notified; pure.

The bodies make the API's document, the forms of the console and the command.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias
from uuid import UUID

from pydantic import BaseModel, Field, computed_field, model_validator

from services.intake.core.schemas import Count, Instant, Strict
from shared.domain.clock import Moment
from shared.domain.languages import Language
from shared.domain.text import Text, Word

Whom = Literal["authority", "controller", "subjects", "fcc"]
Kind = Literal["stated", "decided", "notified", "closed"]
_AT, _ID = ["2026-03-02T09:00:00+01:00"], ["01a21dbf-28e5-7733-8a89-3cbe1b3db3a3"]


class IncidentFacts(Strict):
    """Facts of an incident, its likely consequences and the measures (Art. 33(3), (5)). All text is sealed."""

    KIND: ClassVar[Kind] = "stated"
    found_at: Moment = Field(
        title="When we became aware of it",
        description="The 72 hours run from then. A later time than before counts once two people decide on these facts",
        examples=_AT,
    )
    nature: Annotated[
        tuple[Literal["confidentiality", "integrity", "availability"], ...], Field(min_length=1, max_length=3)
    ] = Field(
        title="What happened to the data",
        description="confidentiality: seen by others; integrity: changed; availability: lost or out of reach",
        examples=[["confidentiality"]],
    )
    facts: Text = Field(
        title="What has happened",
        description="From when to when, and how it was found",
        examples=["A list leaked."],
    )
    effects: Text = Field(title="Likely consequences for the data subjects", examples=["Strangers may call them."])
    measures: Text = Field(title="Measures, taken or planned", examples=["The list was taken down."])
    categories: Annotated[tuple[Word, ...], Field(min_length=1, max_length=20)] = Field(
        title="Categories of data", description="As the policy names them", examples=[["call_record"]]
    )
    people: Count = Field(title="Data subjects", description="How many are concerned, approximately", examples=[40])
    records: Count = Field(title="Records", description="How many are concerned, approximately", examples=[1200])
    controllers: Annotated[tuple[Literal["us", "customer"], ...], Field(min_length=1, max_length=2)] = Field(
        title="Who decides about the data",
        description="us: we notify the authority (Art. 33(1)); customer: we notify the customer (33(2)); or both",
        examples=[["us"]],
    )
    us_customers: Count = Field(
        default=0,
        title="Customers in the USA",
        description="If it is their data, the FCC, the Secret Service and the FBI are notified within seven business"
        " days through the central reporting facility, then the customers within 30 days (47 CFR 64.2011)",
        examples=[0],
    )


class IncidentFound(IncidentFacts):
    """An incident that was found elsewhere than by the platform."""

    request_id: UUID | None = Field(
        default=None,
        title="Request in whose handling it happened, if any",
        examples=_ID,
    )


class LetterWords(Strict):
    """Words of the letter in one language (Art. 34(2))."""

    happened: Text = Field(title="What has happened", examples=["A list of your calls was public."])
    consequences: Text = Field(title="What it may lead to", examples=["Strangers may call you."])
    measures: Text = Field(title="What is done", description="By us, and what they can do")


class RiskDecided(Strict):
    """A decision about the risk, and who gets a letter. It takes effect once a second person approves."""

    KIND: ClassVar[Kind] = "decided"
    risk: Literal["none", "some", "high"] = Field(
        title="Risk to the rights of the data subjects",
        description="none: no notice is needed (Art. 33(1)); high: the data subjects are notified too (Art. 34)",
        examples=["high"],
    )
    exemption: Literal["protected", "averted", "disproportionate"] | None = Field(
        default=None,
        title="Why there are no letters though the risk is high",
        description="protected: the data cannot be read (Art. 34(3)(a)); averted: the high risk is no longer likely"
        " (b); disproportionate: a public notice instead (c)",
        examples=["protected"],
    )
    reasons: Text = Field(title="Reasons", description="Kept sealed", examples=["Calls show where people are treated."])
    concerned: Annotated[tuple[UUID, ...], Field(max_length=1_000)] = Field(
        default=(),
        title="Requests of those concerned",
        description="One letter goes by each: name one request of each person",
        examples=[_ID],
    )
    words: Mapping[Language, LetterWords] = Field(
        default={},
        title="Words of the letter",
        description="In each language that one of them reads",
        examples=[{"en": {"happened": "A list was public.", "consequences": "Calls.", "measures": "It is gone."}}],
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.exemption and self.risk != "high":
            raise ValueError("exemption belongs to a high risk: leave it out")
        if (self.concerned or self.words) and (self.risk == "none" or self.exemption):
            raise ValueError("there are no letters without a risk or with an exemption: leave concerned and words out")
        return self


class Notified(Strict):
    """A notification that was made elsewhere. Nothing is sent."""

    KIND: ClassVar[Kind] = "notified"
    whom: Whom = Field(
        title="Who was notified",
        description="controller: the customer who decides; subjects: people whom no letter reaches; fcc: and the FBI",
        examples=["authority"],
    )
    to: Text = Field(title="Their name, and their reference", examples=["BlnBDI, case 521.1234"])
    notified_at: Moment = Field(title="When they were notified", examples=_AT)
    complete: bool = Field(
        title="The notice is complete", description="Nothing follows in phases (Art. 33(4))", examples=[True]
    )
    what: Text = Field(title="What the notice said, and how it was sent", examples=["All of it, by form."])
    delay: Text | None = Field(
        default=None,
        title="Reasons for the delay",
        description="After the 72 hours: why it is late (Art. 33(1)), or why it is noted only now",
        examples=["The mail was down."],
    )


class IncidentClosed(Strict):
    """Why an incident is closed."""

    KIND: ClassVar[Kind] = "closed"
    explanation: Text = Field(title="Why it is closed", description="Kept sealed", examples=["All were notified."])


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
    notified_at: Instant | None = Field(description="when the authority was notified first (Art. 33(1))")
    proposed_by: str | None = Field(description="whose decision waits for a second person")
    closed_at: Instant | None

    @computed_field(description="until when the authority is notified, unless there is no risk")  # type: ignore[prop-decorator]
    @property
    def notify_by(self) -> Instant:
        """Returns when the 72 hours end."""
        return self.found_at + _WITHIN


class Entry(BaseModel):
    """A statement of one person; later ones count, and none is deleted."""

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
    state: Literal["waiting", "sent", "needs_attention", "cancelled", "given_up", "unannounced"] | None = Field(
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
    def decision(self) -> RiskDecided | None:
        """The last decision of two people about these facts; other facts make it void."""
        found: RiskDecided | None = None
        facts: IncidentFacts | None = None
        for said in (each.said for each in self.entries):
            if isinstance(said, IncidentFacts):
                found, facts = found if said == facts else None, said
            elif isinstance(said, RiskDecided):
                found = said
        return found

    @property
    def notices(self) -> list[tuple[datetime, Notified]]:
        """Each notice, and when it was noted."""
        return [(each.said_at, each.said) for each in self.entries if isinstance(each.said, Notified)]


def owed(facts: IncidentFacts, said: RiskDecided) -> set[Whom]:
    """Decides who must be notified."""
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
