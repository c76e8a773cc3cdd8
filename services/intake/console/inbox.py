"""The mailbox: which mails wait for a person, what one says and seems to ask for, and what becomes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions import options, timing
from services.intake.console.decisions.decision import Asked, Decision, Subject, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.entry import MESSAGE
from services.intake.console.ids import of_path, place
from services.intake.console.lists import END, ROWS, Link, Row, Table, cut, show
from services.intake.console.roles import Power
from services.intake.entered import Entered
from services.intake.mail.inbox import Mail
from services.intake.mail.proposal import Proposal
from services.intake.mail.use_cases import Confirmed, Dismissed, Read
from services.intake.web.forms import Form
from services.intake.web.site import Visit

_TITLES: Final[Sequence[tuple[Literal["proposed", "reply"], str, str]]] = (
    ("proposed", "To be read", "The time limit runs from the moment at which it reached us."),
    ("reply", "Answers to letters of ours", "Enter with its request what it says, or make it a new request."),
)


async def _confirm(subject: Subject, _: int, said: Entered) -> str:
    mail, person = subject.works.services.mail, subject.person
    stored = await mail.confirm(subject.row, Confirmed(requests=said.requests()), person.caller)
    return f"/requests/{stored[0].request_id}"


async def _dismiss(subject: Subject, _: int, said: Dismissed) -> str:
    await subject.works.services.mail.dismiss(subject.row, said, subject.person.caller)
    return "/mail"


CONFIRM = Decision(
    name="confirm",
    title="Make it a request",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "It becomes a request, or several as one case, received when the mail reached us, and is answered by e-mail.",
        "An acknowledgement goes out in the same thread. Nothing is proved by it: who asks is asked by a link.",
        "Where the sender asks for another person, enter no address of the sender: it would find the sender's own data."
        " Enter such a request as one that came by post.",
    ),
    body=Entered,
    asks=MESSAGE,
    do=_confirm,
)
DISMISS = Decision(
    name="dismiss",
    title="Say that it needs nothing more",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "Of what is no request its key, the reason and who has decided are kept, and its words are destroyed here.",
        "The mailbox stays as it is.",
    ),
    body=Dismissed,
    asks=(
        Asked(
            "reason",
            "Reason",
            "choose",
            options=lambda _: [
                ("advertising", "it is advertising"),
                ("automatic", "a machine has written it"),
                ("duplicate", "it says again what another says"),
                ("not_about_personal_data", "it is not about personal data"),
                ("answered_otherwise", "it was answered otherwise, or entered with its request"),
                ("other", "another reason"),
            ],
        ),
    ),
    do=_dismiss,
    irreversible=True,
)

_DIFFERENT: Final = (
    "It names other addresses than the one that it says it is from. The proposal uses that one alone: if another is"
    " theirs, enter it yourself, once you are sure."
)


def routes(console: Console) -> list[BaseRoute]:
    """The mailbox, a mail, its original, and what is decided about it."""
    inbox = Inbox(console.works)
    return [
        console.private("/mail", inbox.show, Power.READ),
        console.private("/mail/{mail_id}", inbox.mail, Power.READ),
        console.private("/mail/{mail_id}/raw", inbox.raw, Power.READ),
        *routes_of(console, "/mail/{mail_id}", [CONFIRM], inbox.proposed),
        *routes_of(console, "/mail/{mail_id}", [DISMISS], inbox.named),
    ]


@dataclass(frozen=True)
class Inbox:
    """The pages of the mailbox."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Is this a request, which right, who, which language?"""
        tables, columns = list[Table](), ("Mail", "Reached us", "As", "Answers")
        for state, title, lead in _TITLES:
            after = place(visit, state)
            found = await self.works.services.mail.waiting(state, after, ROWS + 1)
            mails, more = cut(found, ROWS, f"/mail?{state}=", lambda each: each.mail_id)
            none = END if after else "None."
            tables.append(Table(title, lead, columns, [self._row(each) for each in mails], none, more=more))
        return show(visit, "Mail", tables)

    def _row(self, mail: Mail) -> Row:
        request = Link(f"/requests/{mail.request_id}", "request") if mail.request_id else "–"
        said = "our mail exchanger wrote" if mail.by_mx else "the mailbox says"
        doubled = ", same Message-ID as another" if mail.doubled else ""
        cells = (Link(f"/mail/{mail.mail_id}", "Read it"), local(self.works, mail.received_at), said + doubled, request)
        return Row(cells)

    async def mail(self, visit: Visit) -> Response:
        """What does it say? The reading is on record."""
        mail_id = of_path(visit, "mail_id")
        read = await self.works.services.mail.read(mail_id, person_of(visit).caller)
        answers = await self._answers(visit, read.mail.request_id) if read.mail.request_id else ()
        return visit.page(
            "mail.html",
            mail=read.mail,
            content=read.content,
            proposal=read.proposal,
            different=_DIFFERENT,
            answers=answers,
            noted=visit.session.data.pop("noted", None),
            languages=options.LANGUAGES,
        )

    async def _answers(self, visit: Visit, request_id: UUID) -> Sequence[tuple[str, str]]:
        """What can be done with the request that a mail answers, because of what it says."""
        person = person_of(visit)
        request = await self.works.services.use_cases.read(request_id, person.caller)
        subject = Subject(self.works, person, request)
        offers = offered(subject, f"/requests/{request_id}/decide", [timing.REPLY])
        return [(each.path, each.word) for each in offers]

    async def raw(self, visit: Visit) -> Response:
        """The original with its files, to be opened with care; the reading is on record."""
        raw = await self.works.services.mail.raw(of_path(visit, "mail_id"), person_of(visit).caller)
        headers = {"Content-Disposition": 'attachment; filename="mail.eml"'}
        return Response(raw, media_type="application/octet-stream", headers=headers)

    async def proposed(self, visit: Visit) -> About:
        """The mail that the address names, with what it seems to ask for in the form."""
        mail_id, person = of_path(visit, "mail_id"), person_of(visit)
        subject, back = Subject(self.works, person, row=mail_id), f"/mail/{mail_id}"
        if visit.sent:
            return About(subject, "A mail", back)
        read = await self.works.services.mail.read(mail_id, person.caller)
        facts = [("Says it is from", _sender(read)), *_besides(read), ("It says", read.content.text)]
        return About(subject, read.content.subject or "A mail", back, facts, known=_form(read.proposal))

    async def named(self, visit: Visit) -> About:
        """The mail that the address names."""
        mail_id = of_path(visit, "mail_id")
        return About(Subject(self.works, person_of(visit), row=mail_id), "A mail", f"/mail/{mail_id}")


def _sender(read: Read) -> str:
    return f"{read.content.name}, {read.content.sender}" if read.content.name else read.content.sender


def _besides(read: Read) -> list[tuple[str, str]]:
    if not read.content.besides:
        return []
    return [("Also names", ", ".join(read.content.besides)), ("Look", _DIFFERENT)]


def _form(proposal: Proposal) -> Form:
    said: dict[str, list[str]] = {
        "rights": [str(each) for each in proposal.rights],
        "language": [proposal.language or ""],
        "subject.email": [proposal.email or ""],
        "subject.name": [proposal.name or ""],
        "subject.account_id": [proposal.account_id or ""],
        "subject.phones": ["\n".join(proposal.phones)],
    }
    return Form({name: values for name, values in said.items() if any(values)})
