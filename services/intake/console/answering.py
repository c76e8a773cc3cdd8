"""Writing back to a mail: what is written, how it will read and where it goes; and only then it is sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.intake.console.console import Works, local, person_of
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Subject, saying
from services.intake.console.decisions.page import About
from services.intake.console.ids import of_path
from services.intake.console.roles import Power
from services.intake.letters.rendering import Letter
from services.intake.mail.answering import MailAnswer
from services.intake.mail.answers import Answer
from services.intake.web.forms import Form
from services.intake.web.site import Visit
from shared.domain.errors import IllegalTransition

_STANDS: Final = {
    "waiting": "still to be sent: it goes by itself, and waits while the mail server is away",
    "sent": "taken by the next server",
    "person": "not delivered, and waits for a person",
    "given_up": "given up",
}


async def _previewed(subject: Subject, said: MailAnswer) -> Sequence[tuple[str, str]]:
    answering = subject.works.services.answering
    prepared = await answering.preview(subject.row, said, subject.person.caller)
    letter: Letter = prepared.letter
    return [
        ("Goes to", prepared.to),
        ("Language", options.LANGUAGES[letter.language]),
        ("Subject", letter.subject),
        ("Letter", letter.body),
    ]


async def _answer(subject: Subject, version: int, said: MailAnswer) -> None:
    seen = said.model_copy(update={"answers": version})
    await subject.works.services.answering.answer(subject.row, seen, subject.person.caller)


ANSWER: Final = Decision(
    name="answer",
    title="Answer this mail",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "Your words go out as a letter in the thread of the mail, to the address that it came from and to no other.",
        "Whoever wrote it has proved nothing: write nothing of what we hold about anybody, nor whether we hold any.",
        "It answers no request, and no time limit stops for it. Decide about the mail itself apart from it.",
        "Words that ask for an identity document, or a copy of one, are refused.",
    ),
    body=MailAnswer,
    asks=(
        Asked("text", "Your answer", "area", "Without salutation and closing: they stand around it"),
        Asked(
            "language",
            "Language that you have written in",
            "choose",
            options=lambda _: [*options.LANGUAGES.items()],
        ),
    ),
    previews=_previewed,
    do=_answer,
    irreversible=True,
)


@dataclass(frozen=True)
class Answering:
    """The page on which a mail is answered."""

    works: Works

    async def find(self, visit: Visit) -> About:
        """The mail that the address names, with what was written back to it so far."""
        mail_id, person = of_path(visit, "mail_id"), person_of(visit)
        services, subject = self.works.services, Subject(self.works, person, row=mail_id)
        back = f"/mail/{mail_id}"
        if visit.sent:
            return About(subject, "A mail", back, version=await services.answering.written(mail_id))
        read = await services.mail.read(mail_id, person.caller)
        if read.unanswerable:
            raise IllegalTransition(read.unanswerable)
        facts = [("Goes to", read.content.answer_to)]
        if read.content.besides and not read.in_form:
            facts.append(("Not to", f"{', '.join(read.content.besides)}: it names these besides"))
        facts.append(("It says", read.content.text))
        facts += [("Written before", each.body) for each in read.answers]
        known = Form({"language": [read.proposal.language]} if read.proposal.language else {})
        title = read.content.subject or "A mail"
        return About(subject, title, back, facts, len(read.answers), known)


def told(works: Works, answers: Sequence[Answer]) -> list[tuple[Answer, str]]:
    """Each answer with how far it has come, in words."""
    return [(each, _stands(works, each)) for each in answers]


def _stands(works: Works, answer: Answer) -> str:
    words = _STANDS[answer.state]
    if answer.fault and answer.state == "person":
        words = f"{words} ({answer.fault.replace('_', ' ')})"
    return f"{words}, {local(works, answer.sent_at)}" if answer.sent_at else words
