"""What was written in a form of ours for somebody else: a message in the inbox, with its fields beside its words; pure.

A mail from elsewhere can claim to be one, and have the same fields: it never has the id under which we keep ours.
"""

from dataclasses import asdict, dataclass
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTPUTF8
from uuid import UUID

import orjson

from shared.domain.rights import Right
from shared.domain.wording import Language

_WHY = {"mandate": "with a mandate", "child": "for a child", "dead": "for somebody who has died"}
_FIELDS = "form.json"


@dataclass(frozen=True, slots=True)
class Form:
    """What the form asks besides the wish: whom it is about, by what we know them, which right, in which language."""

    name: str
    known_by: str
    right: Right | None
    language: Language


def write(key: UUID, form: Form, why: str, wish: str, asker: tuple[str, str]) -> bytes:
    """What a person of ours reads, as a mail of whoever has asked: ``asker``, their name and address.

    What they have written at length stands apart, so that no line of it reads as one of ours.

    Raises:
        ValueError: the address is none; no page lets that through.
    """
    name, address = asker
    user, _, domain = address.rpartition("@")
    mail = EmailMessage(policy=SMTPUTF8)
    mail["From"] = Address(name, user, domain)
    mail["Message-ID"] = _message_id(key)
    mail["Subject"] = f"Portal: for somebody else, {_WHY[why]}"
    words = "\n".join(f"| {line}" for line in wish.splitlines())
    mail.set_content(
        f"Written in the form of the portal for somebody else, {_WHY[why]}. The address that it comes from is that of"
        f" whoever asks, and proves nothing of either of them. No letter goes there by itself:"
        f" write to them from the mailbox.\n\n"
        f"About: {form.name}\nKnown to us by: {form.known_by or '-'}\nRight: {form.right or '-'}\n"
        f"Asked by: {name}\nLanguage of the page: {form.language}\n\nThey write:\n{words}\n"
    )
    mail.add_attachment(orjson.dumps(asdict(form)), maintype="application", subtype="json", filename=_FIELDS)
    return mail.as_bytes()


def read(raw: bytes, mail_id: UUID) -> Form | None:
    """The fields of a message of such a form, by the id under which we keep it; of any other mail there are none."""
    if _message_id(mail_id).encode() not in raw:
        return None
    mail = message_from_bytes(raw)
    if mail["Message-ID"] != _message_id(mail_id):
        return None
    [content] = [part.get_payload(decode=True) for part in mail.walk() if part.get_filename() == _FIELDS]
    said = orjson.loads(content)  # type: ignore[arg-type]  # bytes, as we have written it
    return Form(**{**said, "right": Right(said["right"]) if said["right"] else None})


def _message_id(key: UUID) -> str:
    return f"<{key}@portal.invalid>"
