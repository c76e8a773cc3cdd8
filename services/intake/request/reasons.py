"""For which reasons a request may be refused, answered in part, or a part of it ended: policy, not code."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from services.intake.core.errors import BadRequest
from shared.domain.answer_reasons import AnswerReasons, Code, Reason
from shared.domain.rights import Outcome, Right
from shared.domain.toml_file import read_with_ours

POLICY = Path(__file__).parents[3] / "shared" / "policy" / "answers.toml"

Answering = Literal["refuse", "answer_in_part"]
"""What two persons may decide that a request is answered with."""

Proposed = Answering | Literal["end_part"]
"""What one person proposes, and another approves."""
OUTCOMES: Mapping[Answering, Outcome] = {
    "refuse": Outcome.REFUSED,
    "answer_in_part": Outcome.PARTIALLY_FULFILLED,
}


class Reasons(AnswerReasons):
    """Every reason, by what it is a reason for."""

    def of(self, decision: Proposed) -> Mapping[Code, Reason]:
        """The reasons for which that may be decided."""
        reasons: Mapping[Code, Reason] = getattr(self, decision)
        return reasons

    def judged(self, decision: Proposed, code: str, article: str, right: Right) -> Reason:
        """The reason of that code, where it may be given for that right and by that article; raises ``BadRequest``."""
        allowed = {name: reason for name, reason in self.of(decision).items() if right in reason.rights}
        reason = allowed.get(code)
        if reason is None:
            raise BadRequest(f"the reason, for {right}, is one of {', '.join(sorted(allowed))}", "reason")
        if article not in reason.articles:
            raise BadRequest(f"{code} holds by {' or '.join(reason.articles)}", "article")
        return reason


@cache
def read_reasons(overlay: Path | None = None) -> Reasons:
    """The reasons as shipped with the company's own in that folder over them; ``Misconfigured`` if they cannot be."""
    return read_with_ours(POLICY, Reasons, overlay)
