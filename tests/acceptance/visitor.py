"""A visitor with a separate browser without scripts: opens pages of the portal and the console, and sends forms."""

import re
from dataclasses import dataclass
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx


@dataclass
class Visitor:
    """A browser: what it was shown last, and what it does with it."""

    client: httpx.AsyncClient
    path: str = ""
    status: int = 0
    html: str = ""
    content: bytes = b""

    @property
    def text(self) -> str:
        """Returns the text of the page in one line."""
        body = re.sub(r"<style.*?</style>", " ", self.html.partition("<body")[2], flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())

    async def open(self, path: str) -> "Visitor":
        """Opens a page."""
        return self._saw(await self.client.get(path, follow_redirects=True))

    async def send(self, to: str = "", /, **fields: str) -> "Visitor":
        """Sends the form of the page that goes to that path or back, with these fields and those hidden in it.

        Its first button sends it, with its own value, unless a field has that name.
        """
        forms = re.findall(r"<form\b([^>]*)>(.*?)</form>", self.html, re.DOTALL)
        inside = next(body for head, body in forms if (f'action="{to}"' in head if to else "action=" not in head))
        said = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', inside))
        said |= dict(re.findall(r'<button[^>]* name="([^"]+)" value="([^"]*)"', inside)[:1])
        data = {name: unescape(value) for name, value in said.items()} | fields
        return self._saw(await self.client.post(to or self.path, data=data, follow_redirects=True))

    async def sign_in(self, account: str, **form: str) -> "Visitor":
        """Signs in to the console at the identity provider; ``once="yes"``: without a second factor."""
        address = (await self.client.get("/console/sign-in/begin")).headers["location"]
        asked = urlencode(parse_qsl(urlsplit(address).query))
        to = address.partition("?")[0]
        answer = await self.client.post(to, data={"asked": asked, "who": account, **form})
        return await self.open(answer.headers["location"])

    async def decide(self, request_id: str, decision: str, **form: str) -> "Visitor":
        """Opens the page of a decision in the console, fills it in, and confirms what it says that it will do.

        It begins once more where the request has changed meanwhile, as when a letter of it was sent.
        """
        while True:
            await self.open(f"/console/requests/{request_id}/decide/{decision}")
            assert self.status == httpx.codes.OK, self.text
            for step in ("check", "confirm") if form else ("confirm",):
                await self.send(step=step, **form)
                if self.status != httpx.codes.OK:
                    break
            if "It has changed since you opened this page" not in self.text:
                return self

    async def open_approval(self, request_id: str) -> "Visitor":
        """Opens the page on which what was proposed of a request is approved, by the link on its own page."""
        await self.open(f"/console/requests/{request_id}")
        (path,) = re.findall(r'href="(/console/approvals/[0-9a-f-]{36})/', self.html)[:1]
        return await self.open(f"{path}/approve")

    async def ask(self, email: str, right: str = "access", language: str = "en", account: str = "") -> str:
        """Asks in the portal, page by page; the reference that the last page shows."""
        await self.open(f"/portal/{language}/ask/right")
        await self.send(right=right)
        await self.send(whom="me")
        await self.send(email=email, name="Ada Quarzfels", country="DE")
        await self.send(account=account)
        assert self.path == f"/portal/{language}/ask/check", self.text
        await self.send()
        assert self.path == f"/portal/{language}/sent", self.text
        (shown,) = re.findall(r'class="reference">(CCP-[0-9A-Z-]{9})<', self.html)
        return str(shown)

    def _saw(self, answer: httpx.Response) -> "Visitor":
        self.path, self.status, self.content = answer.url.path, answer.status_code, answer.content
        self.html = "" if answer.headers.get("content-type", "").startswith("application/") else answer.text
        return self
