"""The kinds of letters, and what is to be written before it has words; pure."""

from collections.abc import Mapping
from typing import Literal, get_args

from shared.domain.sentences import Fact, Lines, Sentence

LetterKind = Literal[
    "acknowledgement",
    "question",
    "last_notice",
    "proof_link",
    "portal_news",
    "extension",
    "answer",
    "update",
    "forwarded",
    "controller_reminder",
    "recipient_notice",
    "old_contact",
    "breach",
]
KINDS: tuple[LetterKind, ...] = get_args(LetterKind)
TO_OTHERS: frozenset[LetterKind] = frozenset({"controller_reminder", "recipient_notice"})
"""Letters to a customer, or to a recipient of the data: none of them is written to the subject."""
ANSWERS: frozenset[LetterKind] = frozenset({"answer", "last_notice"})
"""The letters that answer a request, or a part of it: they name the case that it belongs to."""
LetterField = Fact | Lines
LetterOf = tuple[LetterKind, Mapping[str, LetterField]]
"""A letter to be written: its kind, and what its template needs.

``about``: what it is about, of several letters of that kind; ``to``: to whom, if not to the requester.
"""


def also(fields: Mapping[str, LetterField], more: Sentence) -> Mapping[str, LetterField]:
    """The fields with one more sentence after the answer."""
    match fields.get("besides"):
        case Sentence() as before:
            return {**fields, "besides": (before, more)}
        case tuple() as several:
            return {**fields, "besides": (*several, more)}
        case _:
            return {**fields, "besides": more}
