"""The kinds of letters, and what is to be written before it has words; pure."""

from collections.abc import Mapping
from typing import Literal, get_args

from shared.domain.sentences import Fact, Lines, Sentence

LetterKind = Literal[
    "extension",
    "identity_question",
    "clarification_question",
    "proof_question",
    "proof_link",
    "portal_news",
    "question_reminder",
    "identity_last_notice",
    "clarification_last_notice",
    "proof_last_notice",
    "reopened",
    "forwarded",
    "reminder_to_controller",
    "recipient_notice",
    "recipient_reminder",
    "refusal",
    "partial",
    "objection_weighed",
    "acknowledgement",
    "completion",
    "no_data",
    "unidentified",
    "withdrawal",
    "assisted",
    "lifting",
    "erasure_opposed",
    "notice_to_old_contact",
    "package_withheld",
    "package_released",
    "part_ended",
    "breach_notice",
]
KINDS: tuple[LetterKind, ...] = get_args(LetterKind)
TO_OTHERS: frozenset[LetterKind] = frozenset({"reminder_to_controller", "recipient_notice", "recipient_reminder"})
"""What goes to a customer of ours, or to a recipient of the data, and is no letter to the subject."""
ANSWERS: frozenset[LetterKind] = frozenset(
    {
        "completion",
        "no_data",
        "unidentified",
        "partial",
        "refusal",
        "objection_weighed",
        "identity_last_notice",
    }
)
"""The letters that answer a request: they say what else belongs to it, such as a case."""
LetterField = Fact | Lines
LetterOf = tuple[LetterKind, Mapping[str, LetterField]]
"""A letter to be written: its kind, and what its template needs; ``to``: to whom, if not to who has asked."""


def also(fields: Mapping[str, LetterField], besides: Sentence) -> Mapping[str, LetterField]:
    """With one sentence more beside the answer."""
    match fields.get("besides"):
        case Sentence() as before:
            return {**fields, "besides": (before, besides)}
        case tuple() as several:
            return {**fields, "besides": (*several, besides)}
        case _:
            return {**fields, "besides": besides}
