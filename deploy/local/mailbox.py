"""A mailbox to try the product with: takes every letter that is sent, shows it on a page, forgets all when it ends."""

import asyncio
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from html import escape
from pathlib import Path
from typing import Final

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from deploy.local.paths import ROOT
from deploy.local.ports import HOST, answers, free_ports
from deploy.local.process import Child

SENDER: Final = "privacy@cloudcontactpro.test"
_SECRET: Final = "MAILBOX_SECRET"  # noqa: S105  # the name of a variable
_LINK: Final = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,]")
_PAGE: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mailbox</title>
<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:48rem;margin:2rem auto;padding:0 1rem}}
li{{margin:.5rem 0}}pre{{font:inherit;white-space:pre-wrap;overflow-wrap:anywhere}}</style></head>
<body><main>{body}</main></body></html>"""


class Mailbox:
    """The process, and its address for intake's letters.

    Letters hold links that prove identities, so reading them needs the secret in the address.
    """

    def __init__(self, folder: Path) -> None:
        self._smtp, http = free_ports(2)
        secret = secrets.token_urlsafe(16)
        self.url = f"http://{HOST}:{http}/{secret}/"
        command: list[str | int] = [sys.executable, "-m", __name__, self._smtp, http]
        ready, log = answers(self.url), folder / "mailbox.log"
        self.child = Child("mailbox", command, log=log, ready=ready, env={_SECRET: secret}, cwd=ROOT)

    @property
    def env(self) -> Mapping[str, str]:
        """The settings of the service that sends."""
        return {
            "DSR_SMTP_HOST": HOST,
            "DSR_SMTP_PORT": str(self._smtp),
            "DSR_SMTP_TLS": "none",
            "DSR_SMTP_SENDER": SENDER,
        }


@dataclass
class Letters:
    """The mails in the order of their arrival."""

    secret: str
    taken: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  # its name
        """Keeps a letter."""
        self.taken.append(message_from_bytes(envelope.original_content or b"", policy=default))
        return "250 OK"

    def application(self) -> Starlette:
        """The pages."""
        return Starlette(
            routes=[Route(f"/{self.secret}/", self.all), Route(f"/{self.secret}/{{number:int}}", self.letter)]
        )

    async def all(self, _: Request) -> Response:
        """Lists the letters, the newest first."""
        rows = [
            f'<li><a href="{number}">{escape(str(each["Subject"]))}</a><br>to {escape(str(each["To"]))}, {each["Date"]}'
            for number, each in reversed([*enumerate(self.taken)])
        ]
        lead = f"Letters that the platform has sent by e-mail: {len(rows)}. Reload the page to see new ones."
        body = f"<h1>Mailbox</h1><p>{lead}</p><ol reversed>{''.join(rows)}</ol>"
        return HTMLResponse(_PAGE.format(body=body))

    async def letter(self, request: Request) -> Response:
        """Shows one."""
        number = request.path_params["number"]
        if number >= len(self.taken):
            return HTMLResponse(_PAGE.format(body="<h1>No such letter</h1>"), 404)
        mail = self.taken[number]
        body = mail.get_body(("plain",))
        text = _LINK.sub(r'<a href="\g<0>">\g<0></a>', escape(body.get_content() if body else ""))
        head = f'<p><a href=".">All letters</a></p><h1>{escape(str(mail["Subject"]))}</h1>'
        return HTMLResponse(_PAGE.format(body=f"{head}<p>to {escape(str(mail['To']))}</p><pre>{text}</pre>"))


async def main(smtp: int, http: int, secret: str) -> None:
    """Takes and shows letters on these ports of this machine until it is ended."""
    letters, loop = Letters(secret), asyncio.get_running_loop()
    server = await loop.create_server(partial(SMTP, letters, hostname="mailbox", loop=loop), HOST, smtp)
    async with server:
        settings = uvicorn.Config(letters.application(), host=HOST, port=http, log_level="warning")
        await uvicorn.Server(settings).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), os.environ[_SECRET]))
