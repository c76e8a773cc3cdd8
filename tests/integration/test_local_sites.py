"""What `make up` runs beside the platform: the mailbox shows every letter, and a password keeps strangers out."""

from email.message import EmailMessage
from pathlib import Path
from urllib.parse import urlencode

import aiosmtplib
import httpx
import pytest

from deploy.local.identity_provider import CLIENT, IdentityProvider
from deploy.local.mailbox import Mailbox

LINK = "http://127.0.0.1:8080/portal/en/prove/a-b_c?d=1&e=2"


async def test_a_letter_that_was_sent_is_read_with_its_link_by_who_knows_the_address(tmp_path: Path) -> None:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = "privacy@example.org", "ada@example.org", "<Prüfung>"
    letter.set_content(f"Open {LINK}.\n")
    mailbox = Mailbox(tmp_path)
    with mailbox.child:
        port = int(mailbox.env["DSR_SMTP_PORT"])
        await aiosmtplib.send(letter, hostname=mailbox.env["DSR_SMTP_HOST"], port=port, start_tls=False)
        async with httpx.AsyncClient(trust_env=False) as browser:
            listed = (await browser.get(mailbox.url)).text
            shown = (await browser.get(f"{mailbox.url}0")).text
            elsewhere = await browser.get(str(httpx.URL(mailbox.url).join("/")))
    assert "&lt;Prüfung&gt;</a><br>to ada@example.org" in listed
    address = LINK.replace("&", "&amp;")
    assert f'Open <a href="{address}">{address}</a>.' in shown
    assert elsewhere.status_code == 404


@pytest.mark.parametrize(("password", "status"), [("right", 303), ("wrong", 403), ("", 403)])
async def test_where_a_password_is_set_nobody_signs_in_without_it(password: str, status: int) -> None:
    provider = IdentityProvider("http://here", "http://console", password="right")
    asked = {
        "client_id": CLIENT,
        "redirect_uri": "http://console/console/signed-in",
        "response_type": "code",
        "code_challenge_method": "S256",
        "scope": "openid",
        **dict.fromkeys(("code_challenge", "state", "nonce"), "any"),
    }
    transport = httpx.ASGITransport(provider.application())
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as browser:
        assert 'type="password"' in (await browser.get("/authorize", params=asked)).text
        form = {"asked": urlencode(asked), "who": provider.people[0].account, "password": password}
        assert (await browser.post("/authorize", data=form)).status_code == status
