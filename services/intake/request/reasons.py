"""Reasons to refuse, answer in part, end a part or extend a request: policy, not code."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal

from services.intake.core.errors import BadRequest
from shared.domain.policy_files import AnswerReason, AnswerReasons, Code
from shared.domain.rights import Outcome, Right
from shared.domain.time_limit import Deadlines
from shared.domain.time_limit_policy import SurgeRule, TimeLimitPolicy
from shared.domain.toml_file import read_with_ours

POLICY = Path(__file__).parents[3] / "shared" / "policy" / "answers.toml"

Answering = Literal["refuse", "answer_in_part"]
"""The outcomes that two people may decide."""

Proposed = Answering | Literal["end_part"]
"""A decision that one person proposes and another approves."""
OUTCOMES: Mapping[Answering, Outcome] = {
    "refuse": Outcome.REFUSED,
    "answer_in_part": Outcome.PARTIALLY_FULFILLED,
}


class Reasons(AnswerReasons):
    """The reasons for decisions, by kind of decision."""

    def of(self, decision: Proposed) -> Mapping[Code, AnswerReason]:
        """Returns the reasons for which that may be decided."""
        reasons: Mapping[Code, AnswerReason] = getattr(self, decision)
        return reasons

    def judged(self, decision: Proposed, code: str, article: str, right: Right) -> AnswerReason:
        """Returns the reason of that code, if that right and that article allow it; raises ``BadRequest`` if not."""
        allowed = {name: reason for name, reason in self.of(decision).items() if right in reason.rights}
        reason = allowed.get(code)
        if reason is None:
            raise BadRequest(f"the reason, for {right}, is one of {', '.join(sorted(allowed))}", "reason")
        if article not in reason.articles:
            raise BadRequest(f"{code} holds by {' or '.join(reason.articles)}", "article")
        return reason


@cache
def read_reasons(overlay: Path | None = None) -> Reasons:
    """Reads the shipped reasons with the company's own over them; raises ``Misconfigured`` if one cannot be used."""
    return read_with_ours(POLICY, Reasons, overlay)


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
class ProposedExtension:
    """A proposal to answer later."""

    notice_sent_at: datetime
    reason: str
    explanation: str
    new_due: date


@dataclass(frozen=True, slots=True)
class Received:
    """The number of requests in the last days, and the usual number for as many days."""

    lately: int
    usually: float

    def is_surge(self, rule: SurgeRule) -> bool:
        """Whether so many more came than usual; false while the usual number is unknown."""
        return 0 < self.usually * rule.times <= self.lately


def flaws(
    extension: ProposedExtension,
    limits: Deadlines,
    policy: TimeLimitPolicy,
    *,
    already_extended: bool,
    of_marketing: bool = False,
    of_consent: bool = False,
    received: Received | None = None,
) -> tuple[ExtensionFlaw, ...]:
    """Yields everything that is wrong with an extension; it is accepted if nothing is.

    ``received``: the record of a surge, for the reason that needs one. ``of_marketing``: of an objection to direct
    marketing, ``of_consent``: of a withdrawn consent; both take effect immediately, unweighed (Art. 21(3), 7(3)).
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
