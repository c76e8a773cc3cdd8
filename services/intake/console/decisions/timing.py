"""Decisions about questions and dates."""

from collections.abc import Sequence

from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Options, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.question_schemas import QuestionAsked, QuestionReply
from services.intake.timing_schemas import ArrivalCorrection, ExtensionProposal
from services.intake.use_cases import UseCases


def _askable(subject: Subject) -> Options:
    """What can be asked as the request stands: nothing while a question is open."""
    request = subject.of_request
    if request.question is not None or request.role == "processor":
        return ()
    causes = (
        ("ask_proof" if request.awaits_proof else "ask_identity", "identity", "who they are"),
        ("ask_meaning", "clarification", "what they mean"),
    )
    return [(what, words) for cause, what, words in causes if request.allows(cause)]


def _may_answer(subject: Subject) -> bool:
    request = subject.of_request
    asked = request.question
    if asked is None:
        return False
    return request.allows("answer") or request.resumable or bool(asked.own_words and request.allows("answer_identity"))


REPLY = Decision(
    name="reply",
    title="Enter what they have answered",
    power=Power.HANDLE,
    when=_may_answer,
    does=saying(
        "Work goes on, from the day on which the answer came; what was closed for want of it is reopened.",
        "Of who they are words prove nothing: enter how they proved it apart, or ask once more.",
    ),
    body=QuestionReply,
    asks=(
        Asked("text", "Their answer", "area", "Kept sealed"),
        Asked("received_at", "When it came", "moment", "As 2026-03-31 14:30; now, if left out"),
    ),
    do=deciding(UseCases.answer),
)
DECISIONS: Sequence[Decision] = (
    Decision(
        name="question",
        title="Ask the person",
        power=Power.HANDLE,
        when=lambda subject: bool(_askable(subject)),
        does=saying(
            "A letter with your words goes out; work on what is clear goes on.",
            "The time limit may stop only where the condition of the law is on file.",
            "Ask for no identity document and no copy of one: it exposes more than it proves.",
        ),
        body=QuestionAsked,
        asks=(
            Asked(
                "question",
                "What about",
                "choose",
                options=_askable,
            ),
            Asked("text", "The question, in the language of the person", "area"),
            Asked(
                "contact_on_file",
                "Contact on file of the account",
                hint="Of a question who they are: a link goes to this e-mail address too, and the reader who confirms"
                " gets the answer. Of a copy, an erasure or a correction"
                " a second person must enter the same. May be left out",
            ),
            Asked(
                "condition_recorded",
                "On file",
                "check",
                "Reasonable doubt (Art. 12(6)), or a large quantity of data (Recital 63), is on file",
            ),
        ),
        do=deciding(UseCases.ask),
    ),
    Decision(
        name="question-withdrawal",
        title="Take back the question",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.question is not None and subject.of_request.allows("answer_identity"),
        does=saying(
            "The question about who they are is asked no more, and can be asked anew in other words.",
            "No time limit has stopped for it. The person is told nothing of that.",
            "Its letter is printed no more; one that was mailed or read already cannot be called back.",
        ),
        do=deciding(UseCases.take_question_back),
        irreversible=True,
    ),
    REPLY,
    Decision(
        name="receipt",
        title="Correct when it arrived",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.allows("redate"),
        does=saying("Every date is counted anew from then; the reason stays on record."),
        body=ArrivalCorrection,
        asks=(
            Asked("received_at", "When it really came", "moment"),
            Asked("country", "Country", hint="ISO 3166, as DE; as it was, if left out"),
            Asked("reason", "How that came to light", "area", "Kept sealed"),
        ),
        do=deciding(UseCases.correct_arrival),
    ),
    Decision(
        name="extension",
        title="Propose an extension",
        power=Power.HANDLE,
        when=lambda subject: subject.of_request.allows("extend") and not subject.of_request.extended,
        does=saying(
            "Somebody else must agree; until then the date stays.",
            "Once agreed the person is told the new date and why (Art. 12(3)): at most two months, and once.",
        ),
        body=ExtensionProposal,
        asks=(
            Asked("reason", "Reason", "choose", options=options.extension_reasons),
            Asked("explanation", "Why, in words that the person reads", "area", "Ask for no ID copy."),
            Asked("new_due", "New date", "day"),
        ),
        do=deciding(UseCases.propose_extension),
    ),
    Decision(
        name="approve-extension",
        title="Agree with the extension",
        power=Power.APPROVE,
        when=lambda subject: subject.pending("extension"),
        reads=lambda subject: options.proposed(subject, "extension"),
        does=saying("The new date holds, and the person is told of it and why."),
        do=deciding(UseCases.approve_extension),
        irreversible=True,
    ),
)
