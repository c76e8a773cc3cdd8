"""Decisions about how a request is answered, and whether it still is to be."""

from collections.abc import Sequence
from functools import partial
from typing import get_args

from services.intake import balancing
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.decision_schemas import Begin, EndedPart, ProposedAnswer, Retry
from services.intake.request import deferrals
from services.intake.request.causes.weighing import Finding
from services.intake.use_cases import UseCases
from shared.domain.rights import Right
from shared.domain.sentences import Term

_WORDS = Asked("explanation", "What the person is told besides", "area", "It stands in the letter. Ask for no ID copy.")


async def _proposal(subject: Subject) -> Sequence[tuple[str, str]]:
    """What is proposed, in the words that the person would read; that it was read is on record."""
    use_cases = subject.works.services.use_cases
    found = await use_cases.proposed(subject.of_request.request_id, subject.person.caller)
    system = [("System", found.system)] if found.system else []
    return [
        ("Proposed", found.decision.replace("_", " ")),
        *system,
        ("Reason", options.words(subject, Term(f"reason.{found.decision}", found.reason))),
        ("Article", found.article),
        ("The person reads besides", found.explanation),
    ]


def _may_decide(subject: Subject) -> bool:
    return subject.of_request.allows("decide") and subject.of_request.role != "processor"


def _may_retry(subject: Subject) -> bool:
    request = subject.of_request
    missing = request.unsearched or any(map(deferrals.is_undone, request.tasks or ()))
    return missing and not request.postponed and (request.allows("retry") or request.may_be_done_later)


_ANOTHER = "Somebody else must agree, in the console or with a key of their own; until then nothing changes."
DECISIONS: Sequence[Decision] = (
    Decision(
        name="refuse",
        title="Propose to refuse it",
        power=Power.HANDLE,
        when=_may_decide,
        does=saying(
            _ANOTHER,
            "Once agreed it is answered as refused, with the reason, the article, and where to complain (Art. 12(4)).",
        ),
        body=ProposedAnswer,
        fixed={"decision": "refuse"},
        asks=(Asked("reason+article", "Reason", "choose", options=partial(options.reasons, "refuse")), _WORDS),
        do=deciding(UseCases.decide),
    ),
    Decision(
        name="answer-in-part",
        title="Propose to answer it in part",
        power=Power.HANDLE,
        when=_may_decide,
        does=saying(
            _ANOTHER,
            "Once agreed it is answered with what is done by then; the letter says what is missing and why.",
        ),
        body=ProposedAnswer,
        fixed={"decision": "answer_in_part"},
        asks=(Asked("reason+article", "Reason", "choose", options=partial(options.reasons, "answer_in_part")), _WORDS),
        do=deciding(UseCases.decide),
    ),
    Decision(
        name="end-part",
        title="Propose to end the part of a system that is gone",
        power=Power.HANDLE,
        when=lambda subject: bool(options.retired(subject)),
        does=saying(_ANOTHER, "Once agreed nothing more is awaited of that system, and the person is told why."),
        body=EndedPart,
        fixed={"decision": "end_part"},
        asks=(
            Asked("system", "System", "choose", options=options.retired),
            Asked("reason+article", "Reason", "choose", options=partial(options.reasons, "end_part")),
            _WORDS,
        ),
        do=deciding(UseCases.decide),
    ),
    Decision(
        name="approve",
        title="Agree with the proposed answer",
        power=Power.APPROVE,
        when=lambda subject: subject.pending("answer"),
        reads=_proposal,
        does=saying("The request is answered as proposed, and the letter is written in these words."),
        do=deciding(UseCases.approve),
        irreversible=True,
    ),
    Decision(
        name="weigh",
        title="Propose what the weighing of the objection finds",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.is_weighed and subject.of_request.allows("weigh"),
        does=saying(
            "The data stay restricted until somebody else agrees.",
            "Once agreed: if it is upheld, the processing ends; else the person is told why not, before the restriction"
            " is lifted.",
        ),
        body=balancing.Balancing,
        asks=(
            Asked(
                "finding",
                "Finding",
                "choose",
                options=lambda _: options.plain(*get_args(Finding)),
            ),
            Asked("explanation", "Why", "area", "The person reads it, unless the objection is upheld."),
        ),
        do=deciding(UseCases.weigh),
    ),
    Decision(
        name="approve-weighing",
        title="Agree with the proposed finding",
        power=Power.APPROVE,
        when=lambda subject: subject.pending("weighing"),
        reads=lambda subject: options.proposed(subject, "weighing"),
        does=lambda subject: (
            f"The objection is found to be {_finding(subject)}, and the person is told so.",
            "Unless it is upheld, the restriction ends once they are told (Art. 18(3)).",
        ),
        do=deciding(UseCases.approve_weighing),
        irreversible=True,
    ),
    Decision(
        name="retry",
        title="Try again what is not done",
        power=Power.HANDLE,
        when=_may_retry,
        does=saying("Every system in which something is missing is asked again; nothing is done twice."),
        do=deciding(UseCases.decide, Retry(decision="retry")),
    ),
    Decision(
        name="begin",
        title="Erase without waiting for other requests",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.postponed,
        does=lambda subject: (
            "It ends what the person had restricted. Two persons must say so."
            if subject.of_request.opposed
            else "What is erased is in no copy that the person asked for. Two persons must say so.",
        ),
        do=deciding(UseCases.decide, Begin(decision="begin")),
        irreversible=True,
    ),
    Decision(
        name="packages-waiver",
        title="Enter that their packages are to be removed, too",
        power=Power.HANDLE,
        when=lambda subject: (
            subject.of_request.right is Right.ERASURE
            and not subject.of_request.packages_waived
            and not subject.of_request.closed_at
        ),
        does=saying("The erasure removes the packages of their earlier requests before their days are over."),
        do=deciding(UseCases.waive_packages),
        irreversible=True,
    ),
    Decision(
        name="withdraw",
        title="Enter that they have withdrawn it",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.allows("withdraw"),
        does=saying(
            "The request is closed, and the person gets a letter that says what had been done.",
            "What was done stays done.",
        ),
        do=deciding(UseCases.withdraw),
        irreversible=True,
    ),
)


def _finding(subject: Subject) -> str:
    found = [each.which for each in subject.file.pending if each.what == "weighing"] if subject.file else []
    return found[0].replace("_", " ") if found else "as proposed"
