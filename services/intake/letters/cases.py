"""Words letters of a case: one acknowledgement of a message, and the part that an answer is about.

Each request is answered alone, since none may wait for another (Art. 12(3)); each answer names the case.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.intake.request.letter_kinds import ANSWERS, LetterOf, add_sentence
from services.intake.request.stored_request import StoredRequest, for_requester
from shared.domain import reference
from shared.domain.rights import Right, Role
from shared.domain.sentences import Fact, FactList, Sentence, Term, say


@dataclass(frozen=True, slots=True)
class Case:
    """The requests of one message: id, right and role of each; the first id is the case number."""

    requests: Sequence[tuple[UUID, Right, Role]]

    @property
    def case_id(self) -> UUID:
        """Returns the number by which the person knows the case."""
        return self.requests[0][0]

    def acknowledgement_of_others(self, codes: Sequence[str]) -> Sentence:
        """Returns what the acknowledgement says of the others; ``codes``: those of their letters, in order."""
        _, *others = zip(self.requests, codes, strict=True)
        sentence = tuple(_part(*request, code) for request, code in others)
        key = "case.acknowledged" if all(codes) else "case.acknowledged_without_codes"
        return say(key, case=reference.of(self.case_id), others=FactList(sentence))


def _part(request_id: UUID, right: Right, role: Role, code: str) -> Sentence:
    known: dict[str, Fact] = {"right": Term("right", right), "reference": reference.of(request_id)}
    part = say("case.part", **known, code=code) if code else say("case.part_without_code", **known)
    return say("case.of_customer", part=part) if role == "processor" else part


def add_case_sentence(
    request: StoredRequest, written: Sequence[LetterOf], others: Sequence[StoredRequest]
) -> Sequence[LetterOf]:
    """Adds the case number to letters that answer a request of a case; the last answer lists all parts.

    ``others``: what came with it, as it stands.
    """
    if request.case_id is None:
        return written
    facts: dict[str, Fact] = {"case": reference.of(request.case_id), "right": Term("right", request.right)}
    answered = [each for each in others if each.outcome and each.responded_at]
    if answered and len(answered) == len(others):
        parts = (say("case.part_answered", right=Term("right", o.right), outcome=_outcome(o)) for o in answered)
        sentence = say("case.all_answered", **facts, others=FactList(tuple(parts)))
    else:
        sentence = say("case.answered", **facts)
    return [(kind, add_sentence(fields, sentence) if kind in ANSWERS else fields) for kind, fields in written]


def answers_case(request: StoredRequest, written: Sequence[LetterOf]) -> bool:
    """Returns whether one of these letters answers a part of a case."""
    return request.case_id is not None and any(kind in ANSWERS for kind, _ in written)


def _outcome(request: StoredRequest) -> Term:
    return Term("outcome", str(for_requester(request).outcome))
