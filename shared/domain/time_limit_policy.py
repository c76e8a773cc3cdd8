"""Describes the policy of time limits, which counsel signs (shared/policy/time_limits.toml)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.domain.rights import Right, Role
from shared.domain.text import Word
from shared.domain.toml_file import read_toml

TIME_LIMITS = Path(__file__).parents[1] / "policy" / "time_limits.toml"


class Question(StrEnum):
    """Questions to the requester before the request can be answered."""

    IDENTITY = "identity"
    CLARIFICATION = "clarification"


class TargetName(StrEnum):
    """Targets of the staff; the policy may name no others."""

    TRIAGE = "triage"
    QUESTION_SENT = "question_sent"
    COLLECTION = "collection"
    REVIEW = "review"
    EXTEND_OR_ANSWER = "extend_or_answer"


def _known(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ValueError, LookupError, OSError):
        raise ValueError(f"{zone!r} is no time zone; write one as Europe/Berlin") from None
    return zone


Zone = Annotated[str, AfterValidator(_known)]
Length = Annotated[int, Field(gt=0, le=10_000)]
"""Hours or days: more than this many is a slip, and no date could be counted from it."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Commitment(_Data):
    """The promise of the privacy notice, and where it is counted."""

    days: Length
    average_business_days: tuple[Length, Length]
    controller_zone: Zone
    staff_calendar: str
    default_country: str

    @model_validator(mode="after")
    def _from_low_to_high(self) -> Self:
        if self.average_business_days[0] > self.average_business_days[1]:
            raise ValueError("average_business_days goes from the lower to the higher number")
        return self


class Milestones(_Data):
    """When to report an open request."""

    approaching_days: tuple[Length, ...]
    escalate_days: Annotated[int, Field(ge=0, le=10_000)]
    flag_after_minutes: Annotated[int, Field(ge=0, le=10_000)]
    daily_page_days: Annotated[int, Field(ge=0, le=10_000)]
    daily_page_to: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _from_far_to_near(self) -> Self:
        if list(self.approaching_days) != sorted(set(self.approaching_days), reverse=True):
            raise ValueError("approaching_days must go from far to near, each once")
        return self


class Span(_Data):
    """A limit of our own: exactly one of elapsed hours, working days, days from receipt, or days before it is due."""

    hours: Length | None = None
    working_days: Length | None = None
    days: Length | None = None
    days_before_due: Length | None = None
    escalate_to: Word
    right: Right | None = None
    scope: str | None = None
    role: Role | None = None

    def holds_for(self, right: Right, scope: str | None, role: Role) -> bool:
        """Whether it is a limit of every such request; one that names no role is for data that we decide about."""
        if self.role is None:
            return role != "processor" and self.right is right and self.scope == scope
        return self.role == role and self.right in (None, right) and self.scope in (None, scope)

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        measures = (self.hours, self.working_days, self.days, self.days_before_due)
        if sum(measure is not None for measure in measures) != 1:
            raise ValueError("give exactly one of hours, working_days, days, days_before_due")
        return self


class SurgeRule(_Data):
    """The reason that needs a surge on record: in the last ``days``, ``times`` as many requests as before."""

    reason: str
    days: Annotated[int, Field(ge=1, le=90)]
    usual_days: Annotated[int, Field(ge=30, le=1_000)]
    times: Annotated[float, Field(gt=1, le=100)]


class ExtensionRules(_Data):
    """The reasons for which a request may be extended (Art. 12(3))."""

    reasons: frozenset[str]
    surge: SurgeRule


class SuspensionRules(_Data):
    """Which questions stop the statutory clock, and what happens without an answer."""

    window_working_days: Length
    reminder_days: Annotated[tuple[Length, ...], Field(min_length=1)]
    last_notice_working_days: Length
    scope: dict[str, frozenset[Question]]
    regimes: dict[str, str]


class ForwardingRules(_Data):
    """When to remind a customer of a forwarded request, and when to escalate."""

    reminder_working_days: Annotated[tuple[Length, ...], Field(min_length=1)]
    escalation_working_days: Length
    escalate_to: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        days = [*self.reminder_working_days, self.escalation_working_days]
        if days != sorted(set(days)):
            raise ValueError("reminder_working_days must ascend, and escalation_working_days come after the last")
        return self


class RecipientRules(_Data):
    """When a silent recipient is reminded, and after as many days left to a person (Art. 19).

    A person has as long to notify one without a channel.
    """

    silent_working_days: Length


class TimeLimitPolicy(_Data):
    """The company's time limits; ``version`` is stored with every computed date."""

    version: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    commitment: Commitment
    milestones: Milestones
    overrides: dict[str, Span]
    targets: dict[TargetName, Span]
    extension: ExtensionRules
    suspension: SuspensionRules
    forwarding: ForwardingRules
    recipients: RecipientRules
    calendars: dict[str, str]
    capital_zones: dict[str, Zone]

    def zones_of(self, country: str | None) -> tuple[str, ...]:
        """The controller's zone and the subject's, by ISO country code; an unknown country counts as the default."""
        default = self.capital_zones[self.commitment.default_country]
        subject = self.capital_zones.get(country.upper(), default) if country else default
        return tuple(dict.fromkeys((self.commitment.controller_zone, subject)))

    def calendar_of(self, country: str | None) -> str:
        """The name of the holiday calendar where action is to be taken for a subject of this country."""
        code = country.upper() if country else self.commitment.default_country
        return self.calendars.get(code, code)

    def regime_of(self, calendar: str) -> str:
        """Under which law a question to the requester is judged, by the calendar of the place of action."""
        return self.suspension.regimes.get(calendar.partition("-")[0], "EU")

    def override_for(self, right: Right, scope: str | None, role: Role = "controller") -> Span | None:
        """The shorter limit of our own for a request of this right, scope and role, if there is one."""
        return next((span for span in self.overrides.values() if span.holds_for(right, scope, role)), None)

    @property
    def prompt(self) -> Span | None:
        """The target that is a milestone as well: so many days before it is due, extend the request or answer it."""
        return self.targets.get(TargetName.EXTEND_OR_ANSWER)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.prompt and self.prompt.days_before_due not in self.milestones.approaching_days:
            raise ValueError("targets.extend_or_answer needs a days_before_due that is one of approaching_days")
        if self.commitment.default_country not in self.capital_zones:
            raise ValueError("commitment.default_country needs an entry in capital_zones")
        return self


def read_policy(path: Path = TIME_LIMITS) -> TimeLimitPolicy:
    """Read the policy once, when the service starts.

    Raises:
        Misconfigured: the file cannot be used; says what to change.
    """
    return read_toml(path, TimeLimitPolicy)
