"""A mailbox of the servers, as a mail program looks into it: what lies there stays as it was."""

import imaplib
import smtplib
import ssl
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from deploy.local.mail.servers import MailServers
from deploy.local.ports import HOST


@dataclass(frozen=True)
class Box:
    """The mailbox of an address."""

    servers: MailServers
    address: str

    def write(self, to: str, mail: str) -> None:
        """Sends a mail from this address, as it is, by a server that is not ours."""
        raw = mail.replace("\n", "\r\n").encode()
        with smtplib.SMTP(HOST, self.servers.ports["exchanger"], local_hostname="laptop") as exchanger:
            exchanger.sendmail(self.address, [to], raw, ["BODY=8BITMIME"])

    def mails(self) -> list[bytes]:
        """What lies in it, the oldest first."""
        return [body for _, body in self._fetched("BODY.PEEK[]")]

    def flags(self) -> list[bytes]:
        """What everybody sees that somebody has done with each."""
        return [flags for flags, _ in self._fetched("FLAGS")]

    def with_subject(self, words: str) -> bytes | None:
        """The first mail in whose subject these words stand, if it is there."""
        return next((each for each in self.mails() if words in str(read(each)["Subject"])), None)

    def _fetched(self, what: str) -> list[tuple[bytes, bytes]]:
        context = ssl.create_default_context(cafile=self.servers.authority)
        with imaplib.IMAP4_SSL(HOST, self.servers.ports["imaps"], ssl_context=context) as box:
            box.login(self.address, self.servers.passwords[self.address])
            box.select("INBOX", readonly=True)
            found: Any = box.search(None, "ALL")[1][0].split()
            got: Any = [box.fetch(each, f"({what})")[1][0] for each in found]
        return [each if isinstance(each, tuple) else (each, b"") for each in got]


def read(raw: bytes) -> EmailMessage:
    """The mail."""
    return message_from_bytes(raw, policy=default)


def text_of(mail: EmailMessage) -> str:
    """Its plain text."""
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""
