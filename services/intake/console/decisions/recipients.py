"""Decisions that a recipient of the data is not told, by two persons (Art. 19)."""

from collections.abc import Sequence

from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Options, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.recipient_schemas import Waiver, WaiverApproval
from services.intake.use_cases import UseCases


def _open(subject: Subject) -> Options:
    return options.recipients(subject)


def _proposed(subject: Subject) -> Options:
    return options.recipients(subject, proposed=True)


async def _words(subject: Subject) -> Sequence[tuple[str, str]]:
    """Of each recipient whom somebody has proposed not to tell, why."""
    return [
        line for recipient, _ in _proposed(subject) for line in await options.proposed(subject, "waiver", recipient)
    ]


DECISIONS: Sequence[Decision] = (
    Decision(
        name="recipient-waiver",
        title="Propose not to tell a recipient",
        power=Power.HANDLE,
        when=lambda subject: bool(_open(subject)),
        does=saying("Somebody else must agree; until then they are told as any other (Art. 19)."),
        body=Waiver,
        asks=(
            Asked("recipient", "Recipient", "choose", options=_open),
            Asked(
                "cause",
                "Since that is",
                "choose",
                options=lambda _: [("impossible", "impossible"), ("disproportionate", "out of proportion")],
            ),
            Asked("explanation", "Why", "area", "Kept sealed"),
        ),
        do=deciding(UseCases.propose_waiver),
    ),
    Decision(
        name="recipient-waiver-approval",
        title="Agree not to tell a recipient",
        power=Power.APPROVE,
        when=lambda subject: bool(_proposed(subject)),
        reads=_words,
        does=saying("The recipient is not told of what was done."),
        body=WaiverApproval,
        asks=(Asked("recipient", "Recipient", "choose", options=_proposed),),
        do=deciding(UseCases.approve_waiver),
        irreversible=True,
    ),
)
