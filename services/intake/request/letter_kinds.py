"""Names the kinds of letters, and what a question without an author asks; pure."""

from collections.abc import Mapping
from typing import Literal, get_args

from services.intake.request import deferrals
from services.intake.request.stored_request import StoredRequest
from shared.domain.sentences import Fact, Lines, Sentence, Sentences, named_systems, say
from shared.domain.time_limit_policy import Question

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
TO_ORGANISATIONS: frozenset[LetterKind] = frozenset({"controller_reminder", "recipient_notice"})
"""Letters to a customer, or to a recipient of the data: none of them is written to the subject."""
ANSWERS: frozenset[LetterKind] = frozenset({"answer", "last_notice"})
"""The letters that answer a request, or a part of it: they name the case that it belongs to."""
LetterField = Fact | Lines
LetterOf = tuple[LetterKind, Mapping[str, LetterField]]
"""A letter to be written: its kind, and what its template needs.

``about``: what it is about, of several letters of that kind; ``to``: to whom, if not to the requester.
"""


def add_sentence(fields: Mapping[str, LetterField], more: Sentence) -> Mapping[str, LetterField]:
    """The fields with one more sentence after the answer."""
    match fields.get("also"):
        case Sentence() as before:
            return {**fields, "also": (before, more)}
        case tuple() as several:
            return {**fields, "also": (*several, more)}
        case _:
            return {**fields, "also": more}


def question_wording(question: Question, request: StoredRequest) -> Sentence:
    """Returns a question to the requester in words; to a customer, about the person of their instruction.

    Where the requester's identity is proved for a part, it asks for what would be enough for the rest. Where what they
    gave may be that of several customers, it asks for the customer number. It asks for numbers, unless none would lead
    further.
    """
    if question is Question.IDENTITY and request.awaits_proof:
        systems = named_systems(task.system for task in deferrals.unproved(request.tasks))
        if request.tenant:
            return say("question.proof_of_instruction", systems=systems)
        return say("question.proof", systems=systems, enough=_sufficient_proof(request))
    otherwise = question is Question.CLARIFICATION and deferrals.by_no_number(request.tasks)
    if request.tenant:
        return say("question.known_by_of_instruction" if otherwise else f"question.{question}_of_instruction")
    if question is Question.CLARIFICATION and deferrals.ambiguous(request.tasks):
        return say("question.ambiguous")
    return say("question.known_by" if otherwise else f"question.{question}")


def _sufficient_proof(request: StoredRequest) -> Sentence | Sentences:
    """Says which proof is enough, system by system where they differ."""
    needed: dict[str, set[str]] = {}
    for task in deferrals.unproved(request.tasks):
        needed.setdefault(str(task.level or "L3"), set()).add(task.system)
    if len(needed) < 2:  # noqa: PLR2004  # one for all
        return say(f"question.enough_{next(iter(needed), 'L3')}")
    return tuple(
        say("question.enough_for", systems=named_systems(systems), enough=say(f"question.enough_{level}"))
        for level, systems in sorted(needed.items())
    )
