"""Whether a request may be extended by two further months (Art. 12(3)): in time, with a reason, by two persons."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from shared.domain.time_limit import Limits
from shared.domain.time_limit_policy import SurgeRule, TimeLimitPolicy


class ExtensionFlaw(StrEnum):
    """Why an extension is not valid; the original dates stay."""

    NOTICE_TOO_LATE = "notice_too_late"
    REASON_NOT_ALLOWED = "reason_not_allowed"
    NO_EXPLANATION = "no_explanation"
    DATE_TOO_LATE = "date_too_late"
    DATE_NOT_LATER = "date_not_later"
    ALREADY_EXTENDED = "already_extended"
    NO_SURGE = "no_surge"
    DIRECT_MARKETING = "direct_marketing"
    CONSENT_WITHDRAWAL = "consent_withdrawal"


@dataclass(frozen=True, slots=True)
class Extension:
    """A proposal to answer later."""

    notice_sent_at: datetime
    reason: str
    explanation: str
    new_due: date


@dataclass(frozen=True, slots=True)
class Received:
    """How many requests came in the last days, and how many usually come in so many days."""

    lately: int
    usually: float

    def is_surge(self, rule: SurgeRule) -> bool:
        """Whether so many more came than usual; where nothing is known of what is usual, nobody can tell."""
        return 0 < self.usually * rule.times <= self.lately


def flaws(
    extension: Extension,
    limits: Limits,
    policy: TimeLimitPolicy,
    *,
    already_extended: bool,
    of_marketing: bool = False,
    of_consent: bool = False,
    received: Received | None = None,
) -> tuple[ExtensionFlaw, ...]:
    """Everything that is wrong with an extension; it is accepted only if nothing is.

    ``received``: the record of a surge, for the reason that needs one. ``of_marketing``: of an objection to direct
    marketing, ``of_consent``: of a withdrawn consent; both take effect at once and weigh nothing (Art. 21(3), 7(3)).
    """
    rule = policy.extension.surge
    found = {
        ExtensionFlaw.NOTICE_TOO_LATE: extension.notice_sent_at >= limits.commit_due_instant,
        ExtensionFlaw.REASON_NOT_ALLOWED: extension.reason not in policy.extension.reasons,
        ExtensionFlaw.NO_EXPLANATION: not extension.explanation.strip(),
        ExtensionFlaw.DATE_TOO_LATE: extension.new_due > limits.commit_due_extended,
        ExtensionFlaw.DATE_NOT_LATER: extension.new_due <= limits.commit_due,
        ExtensionFlaw.ALREADY_EXTENDED: already_extended,
        ExtensionFlaw.DIRECT_MARKETING: of_marketing,
        ExtensionFlaw.CONSENT_WITHDRAWAL: of_consent,
        ExtensionFlaw.NO_SURGE: extension.reason == rule.reason and not (received and received.is_surge(rule)),
    }
    return tuple(flaw for flaw, is_so in found.items() if is_so)
