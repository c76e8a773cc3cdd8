"""Whether we are sure enough of who is asking; the levels required and the methods known are policy, not code."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from services.intake.errors import BadRequest
from shared.domain.identity_rules import IdentityRules, Words
from shared.domain.proofs import POLICY
from shared.domain.text import folded, mixed_scripts
from shared.domain.toml_file import read_with_ours

_HYPHENS = re.compile(r"[\u002d\u2010-\u2015]")
_SPACED = re.compile(r"(?<=\b\w) (?=\w\b)")


class IdentityPolicy(IdentityRules):
    """The level that each category and action need, the methods by which anybody may come to one, and the brake."""

    def must_not_ask_for_a_document(self, said: str, field: str = "text") -> None:
        """Raises ``BadRequest`` for words to a requester that ask for a document which the policy lets nobody ask for.

        They are compared as one reads them, whatever characters they are written in.
        """
        if mixed_scripts(said):
            raise BadRequest("a word has letters of two scripts, which look alike: write it in one", field)
        if (found := self.document_asked_for(said)) is not None:
            raise BadRequest(
                f"ask for no identity document and no copy of one ({found}): ask for something that only the subject"
                " can know or reach, as a code that is sent to their address of record",
                field,
            )

    def document_asked_for(self, said: str) -> str | None:
        """The word of the policy by which these words ask for a document; None if they do not."""
        words, never = " | ".join({*_readings(said)}), self.never_asked_for
        found = _first_of(never.documents, words)
        return found or (_first_of(never.ids, words) if _first_of(never.copies, words) else None)


def _readings(said: str) -> Iterator[str]:
    """The words as one may read them: a hyphen as nothing or as a blank, spaced-out letters as one word."""
    for text in (said, _HYPHENS.sub(" ", said)):
        yield folded(text)
        yield _SPACED.sub("", folded(text))


def _first_of(wanted: Words, words: str) -> str | None:
    """The first of them that stands in a folded text as whole words."""
    return next((each for each in wanted if re.search(rf"\b{re.escape(folded(each))}\b", words)), None)


@cache
def identity_policy(overlay: Path | None = None) -> IdentityPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, IdentityPolicy, overlay)
