"""The page of a mail: what it says, what it seems to ask for, and the next steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from babel import Locale
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, ConsoleContext, NavigationLink, local, person_of
from services.console.form import LANGUAGES
from services.console.roles import StaffPower
from services.intake.actions import kind
from services.intake.actions.correspondence import DISMISS
from services.intake.actions.registry import KIND
from services.intake.actions.timing import REPLY
from services.intake.mail.use_cases import MailView
from services.web.forms import Form
from services.web.site import Visit
from shared.domain.languages import ENGLISH
from shared.domain.mail_content import MailContent

_STRANGER = "It answers a letter that went to another address: do not take it for the requester's word."


COLUMNS: Final = ("Mail", "From", "Reached us", "Asks for", "Language", "Domain authenticated", "Urgent", "Answers")
_NO_SUBJECT: Final = {
    "forwards": "It passes on what another person has written: enter whom it is about yourself.",
    "for_another": "The writer seems to speak for another person: enter whom it is about yourself.",
}
_DIFFERENT: Final = (
    "It names other addresses than the one that it says it is from. The proposal uses that one alone: if another is"
    " theirs, enter it yourself, once you are sure."
)


def routes(console: Console) -> list[BaseRoute]:
    """Returns the page of a mail, and its original."""
    inbox = Inbox(console.context)
    return [
        console.private("/mail/{mail_id:uuid}", inbox.mail, StaffPower.READ),
        console.private("/mail/{mail_id:uuid}/raw", inbox.raw, StaffPower.READ),
    ]


@dataclass(frozen=True)
class Inbox:
    """The pages of a mail."""

    context: ConsoleContext

    async def mail(self, visit: Visit) -> Response:
        """Shows what a mail says; the reading is on record."""
        read = await self._read(visit)
        mail_id, content = read.mail_id, read.content
        links = [NavigationLink(f"/mail/{mail_id}/raw", "Fetch the original with its files")]
        if read.names and read.names != read.request_id:
            links.append(NavigationLink(f"/requests/{read.names}", "Open the request whose reference it names"))
        if person_of(visit).may(StaffPower.HANDLE):
            make = "Make it a new request" if read.request_id else "Create a request"
            links = [
                *(await self._answers(visit, read.request_id) if read.request_id else ()),
                NavigationLink(f"/mail/{mail_id}/confirm", make),
                NavigationLink(f"/mail/{mail_id}/dismiss", DISMISS.title),
                *links,
            ]
        noted = visit.session.data.pop("noted", None)
        facts = _facts(self.context, read)
        return visit.page("mail.html", mail=read, content=content, facts=facts, links=links, noted=noted)

    async def _read(self, visit: Visit) -> MailView:
        return await self.context.services.use_cases.mail.read(
            visit.request.path_params["mail_id"], person_of(visit).caller
        )

    async def _answers(self, visit: Visit, request_id: UUID) -> Sequence[NavigationLink]:
        """Returns the actions on the request that a mail answers."""
        person = person_of(visit)
        _, found = await kind.possible_actions(self.context.services.use_cases, KIND, str(request_id), person.caller)
        return [
            NavigationLink(f"/requests/{request_id}/decide/{each.name}", each.title)
            for each in found
            if each.name == REPLY
        ]

    async def raw(self, visit: Visit) -> Response:
        """Returns the original with its files; the reading is on record."""
        raw = await self.context.services.use_cases.mail.raw(
            visit.request.path_params["mail_id"], person_of(visit).caller
        )
        headers = {"Content-Disposition": 'attachment; filename="mail.eml"'}
        return Response(raw, media_type="application/octet-stream", headers=headers)


async def proposed(context: ConsoleContext, visit: Visit) -> tuple[str, Sequence[tuple[str, str]], Form]:
    """Reads a mail that becomes a request: its subject, what it says, and the form filled; the reading is on record."""
    mail_id = UUID(visit.request.path_params["key"])
    read = await context.services.use_cases.mail.read(mail_id, person_of(visit).caller)
    facts = [*_facts(context, read), *((each.title or "It says", each.text) for each in read.content.parts)]
    return read.content.subject, facts, _form(read.content)


def cells(context: ConsoleContext, mail: MailView) -> Sequence[str | NavigationLink]:
    """Returns a row of the mailbox."""
    content = mail.content
    return (
        NavigationLink(f"/mail/{mail.mail_id}", content.subject or "No subject"),
        content.sender or "–",
        local(context, mail.received_at),
        _words(content.proposal.rights) or "–",
        _spoken(content),
        "yes" if content.authenticated else "no",
        _words(content.proposal.urgent) or "–",
        NavigationLink(f"/requests/{mail.request_id}", "request") if mail.request_id else "–",
    )


def _facts(context: ConsoleContext, read: MailView) -> list[tuple[str, str]]:
    """Returns what a mail says about itself, and what it seems to ask for."""
    mail, content, proposal = read, read.content, read.content.proposal
    by = "as our mail exchanger wrote" if mail.by_mx else "as the mailbox says"
    checks = ", ".join(f"{name.upper()} {result}" for name, result in content.checks.items()) or "nothing written"
    known = {
        "Says it is from": ", ".join(filter(None, (content.name, content.sender))),
        "Also names": ", ".join(content.other_addresses),
        "Domain authenticated": f"{'yes' if content.authenticated else 'no'} ({checks})",
        "Reached us": f"{local(context, mail.received_at)}, {by}",
        "Language": _spoken(content),
        "Seems to ask for": _words(proposal.rights) or "nothing that is certain",
        "Also mentions": _words(proposal.mentioned),
        "Sounds urgent": _words(proposal.urgent),
        "Files": "; ".join(
            f"{each.name or 'without a name'} ({each.kind}, {each.size} bytes)" for each in content.attachments
        ),
        "Look": " ".join((_STRANGER, *_doubts(content)) if read.stranger else _doubts(content)),
    }
    return [(name, value) for name, value in known.items() if value]


def _words(mail_text: Sequence[str]) -> str:
    return ", ".join(each.replace("_", " ") for each in mail_text)


def _spoken(content: MailContent) -> str:
    """Returns the name of its language."""
    return (Locale(ENGLISH).languages.get(content.language) if content.language else None) or "not sure"


def _doubts(content: MailContent) -> Iterator[str]:
    """Yields reasons to check the sender before entering the subject."""
    proposal = content.proposal
    if content.other_addresses:
        yield _DIFFERENT
    if proposal.no_subject:
        yield _NO_SUBJECT[proposal.no_subject]
    if any(not each.startswith("+") for each in proposal.phones):
        yield "A telephone number lacks its country code: enter it, or the country in which the number is dialled."


def _form(content: MailContent) -> Form:
    proposal = content.proposal
    mail_text = {
        "rights": proposal.rights,
        "language": [content.language] if content.language in LANGUAGES else [],
        "subject.email": [proposal.email],
        "subject.name": [proposal.name],
        "subject.account_id": [proposal.account_id],
        "subject.phones": ["\n".join(proposal.phones)],
    }
    return Form({name: [each for each in values if each] for name, values in mail_text.items() if any(values)})
