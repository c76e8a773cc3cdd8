"""Decisions about who asks: what they have proved, and what was no proof."""

from collections.abc import Sequence

from services.intake.console import proof_words
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.decision_schemas import ProofLifted, ProofTakenBack
from services.intake.identity.by_hand import BY_TWO
from services.intake.request.lifecycle import State
from services.intake.schemas import Verification
from services.intake.use_cases import UseCases


async def _doubted(subject: Subject) -> Sequence[tuple[str, str]]:
    """What one person has said already, as the second needs it: of which identity, by its name in the form."""
    said = [each for each in subject.file.pending if each.what == "proof"] if subject.file else []
    return [("Said by one person so far", f"{each.holder}, of: {each.which}") for each in said]


def _one_of_two(subject: Subject, said: ProofTakenBack) -> bool:
    """Whether a word about a proof is the first of the two that it takes."""
    before = [each for each in subject.file.pending if each.what == "proof"] if subject.file else []
    return subject.of_request.state is State.CLOSED and said.identity not in {each.which for each in before}


async def _entered(subject: Subject) -> Sequence[tuple[str, str]]:
    """Returns the proof that one person has entered by hand, which another must enter too."""
    said = [each for each in subject.file.pending if each.what == "identity"] if subject.file else []
    return [("Entered by one person so far", f"{each.holder}: {each.which.replace('_', ' ')}") for each in said]


def _may_verify(subject: Subject) -> bool:
    request = subject.of_request
    return (request.allows("verify") or request.resumable) and request.role != "processor"


DECISIONS: Sequence[Decision] = (
    Decision(
        name="verify",
        title="Enter how they proved who they are",
        power=Power.HANDLE,
        when=_may_verify,
        does=saying(
            "Everything that they have stated counts as proved, as far as the method proves it.",
            "Work begins, or goes on, if that is enough.",
            "For a copy, an erasure or a correction a second person must enter the same before it counts.",
        ),
        body=Verification,
        asks=(
            Asked("assurance.level", "Level", "choose", options=lambda _: options.plain("L1", "L2", "L3")),
            Asked("assurance.method", "Method", "choose", options=options.methods),
        ),
        reads=_entered,
        do=deciding(UseCases.verify),
        first_of_two=lambda subject, _: subject.of_request.right in BY_TWO and not subject.pending("identity"),
    ),
    Decision(
        name="proof-withdrawal",
        title="Take back a proof",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.role != "processor" and not subject.of_request.anonymous,
        does=saying(
            "The identity counts as proved no more, and what was found by it alone is withheld.",
            "What was fetched or changed by it already is recorded as an incident (Art. 33).",
            "Of a request that is answered two persons must say so.",
        ),
        body=ProofTakenBack,
        asks=(
            Asked("identity", "Identity", hint="As email, account_id, or phones.0 for the first number"),
            Asked("note", "How that came to light", "area", "For the privacy team; kept sealed"),
        ),
        reads=_doubted,
        do=deciding(UseCases.take_back),
        first_of_two=_one_of_two,
        irreversible=True,
    ),
    Decision(
        name="proof-lift",
        title="Say that it was theirs after all",
        power=Power.HANDLE,
        when=lambda subject: subject.file is not None and subject.file.liftable,
        does=proof_words.lifted,
        body=ProofLifted,
        asks=(Asked("note", "How you know", "area", "For the privacy team; kept sealed"),),
        do=deciding(UseCases.lift_proof),
    ),
)
