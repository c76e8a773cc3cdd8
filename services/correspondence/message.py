"""A letter as a mail: its text and its HTML, and nothing else; pure. No file is ever attached.

The subject has the right and the reference, and no name: it is read on locked screens, and by every server on the way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from shared.domain.notices import text_of

_ID = re.compile(r"<[!-;=?-~]{3,250}>")
"""A valid Message-ID; other values are left out of the thread."""
_WHOLE = SMTP.clone(max_line_length=900, cte_type="7bit")
"""A Message-ID of more than 76 characters, as Outlook writes them, would be encoded, and be none any more. In ASCII
alone, a letter goes by every server as it is.
"""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A letter that is to be sent: ``token`` knows it again, ``before`` are the Message-IDs that it follows.

    ``language``: those in which it is written, as ``de, en``.
    """

    token: str
    to: str
    language: str
    subject: str
    html: str
    written_at: datetime
    before: Sequence[str] = ()


def message_id(token: str, sender: str) -> str:
    """Returns the Message-ID of a letter: equal for each attempt, so that a repeat is recognised."""
    return f"<{token}@{sender.rpartition('@')[2]}>"


def return_path(token: str, bounces: str) -> str:
    """Returns the envelope sender of a letter."""
    local, _, domain = bounces.rpartition("@")
    return f"{local}+{token}@{domain}"


def compose(letter: Outgoing, sender: str, name: str) -> bytes:
    """Builds the mail; ``name``: the company's; raises ``ValueError`` for unusable data."""
    mail = EmailMessage(policy=_WHOLE)
    mail["From"] = Address(name, addr_spec=sender)
    mail["To"] = letter.to
    mail["Subject"] = letter.subject
    mail["Date"] = format_datetime(letter.written_at)
    mail["Message-ID"] = message_id(letter.token, sender)
    if before := [each for each in letter.before if _ID.fullmatch(each)]:
        mail["In-Reply-To"] = before[-1]
        mail["References"] = " ".join(before)
    mail["Auto-Submitted"] = "auto-replied"  # RFC 3834: no machine answers it
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text_of(letter.html))
    mail.add_alternative(letter.html, subtype="html")
    mail["Content-Language"] = letter.language  # last, since setting the content removes such headers
    return mail.as_bytes()
