"""Whether we are sure enough of who is asking; the levels required and the methods known are policy, not code."""

from functools import cache
from pathlib import Path

from services.intake.errors import BadRequest
from services.intake.identity import documents_asked
from shared.domain.identity_rules import IdentityRules
from shared.domain.proofs import POLICY
from shared.domain.text import mixed_scripts
from shared.domain.toml_file import read_with_ours


class IdentityPolicy(IdentityRules):
    """The level that each category and action need, the methods by which anybody may come to one, and limits."""

    def must_not_ask_for_a_document(self, said: str, field: str = "text") -> None:
        """Raises ``BadRequest`` for words to a requester that ask for a document which the policy lets nobody ask for.

        They are compared as one reads them, whatever characters they are written in.
        """
        if mixed_scripts(said):
            raise BadRequest("a word has letters of two scripts, which look alike: write it in one", field)
        if (found := self.document_asked_for(said)) is not None:
            raise BadRequest(
                f"ask for no identity document and no copy of one ({found}): ask for something that only the subject"
                " can know or reach, as a code that is sent to their address of record. To say that none is needed,"
                " name none, as in: you need to send us nothing more",
                field,
            )

    def document_asked_for(self, said: str) -> str | None:
        """The words by which a document is asked for; None if none is."""
        return documents_asked.asked_for(said, self.never_asked_for)


@cache
def identity_policy(overlay: Path | None = None) -> IdentityPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, IdentityPolicy, overlay)
