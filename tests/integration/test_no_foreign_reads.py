"""Everybody sees what is theirs: all roles on every page of the console, and two channels on every route of the API."""

import re

import httpx
import orjson
from uuid_utils.compat import uuid7

from deploy.local.paths import ROOT
from services.console.roles import ROLES, Role
from services.intake.access.auth import create
from services.intake.api.actions import registered
from services.web.guard import HEADERS
from tests.fixtures.console import OpenedConsole
from tests.fixtures.intake import FREELY, Intake, id_of

CARRIED = {name.lower(): value for name, value in HEADERS.items()} | {
    "cache-control": "no-store",
    "strict-transport-security": "max-age=31536000",
}
POLICY = "content-security-policy"
COOKIE = re.compile(r"__Host-dsr-console=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure")
MEMBERS = {Role.HANDLER: "hanna", Role.APPROVER: "anton", Role.AUDITOR: "ugo", Role.ADMIN: "ada-min"}


async def test_a_role_opens_the_pages_that_its_powers_are_for_and_no_other(console: OpenedConsole) -> None:
    request = id_of(await console.intake.submit(right="erasure"))
    pages, stranger = console.site.powers, console.visitor()
    assert len(pages) > 30
    for path in pages:
        answer = await stranger.client.get("/console" + filled(path, request))
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/sign-in"), path
        assert carried(answer) == CARRIED, path
        for cookie in answer.headers.get_list("set-cookie"):
            assert COOKIE.fullmatch(cookie), cookie
    for role, account in MEMBERS.items():
        member = await console.member(account)
        said = {"csrf": str(re.findall(r'name="csrf" value="(\w+)"', (await member.open("/console/me")).html)[0])}
        for path, power in pages.items():
            answer = await member.client.get("/console" + filled(path, request))
            allowed = power in ROLES[role]
            assert (answer.status_code == 403) is not allowed, f"{role} at {path}: {answer.status_code}"
            assert answer.status_code < 500, f"{role} at {path}: {answer.text}"
            own_style = {POLICY: answer.headers[POLICY]} if path == "/post/print" and allowed else {}
            assert carried(answer) == CARRIED | own_style, path
            assert not own_style or " style-src 'sha256-" in own_style[POLICY]
            if not allowed:
                sent = await member.client.post("/console" + filled(path, request), data=said)
                assert sent.status_code in {403, 404, 405}, f"{role} sends a form to {path}: {sent.status_code}"
                assert carried(sent) == CARRIED, path


async def test_a_channel_reads_nothing_of_another_on_any_route(intake: Intake, database: str) -> None:
    request = id_of(await intake.submit())
    key = await create(database, "channel", "another", intake.clock.now(), FREELY)
    headers = {"Authorization": f"Bearer {key}", "If-Match": '"1"'}
    transport, seen = httpx.ASGITransport(intake.application), 0
    async with httpx.AsyncClient(transport=transport, base_url="http://intake", headers=headers) as other:
        for route, operations in orjson.loads((ROOT / "docs" / "openapi.json").read_bytes())["paths"].items():
            for method in operations:
                answer = await other.request(method, filled(route, request), json=None if method == "get" else {})
                seen += 1
                assert request not in answer.text, f"{method} {route}"
                assert "ada@example.org" not in answer.text
                if "{request_id}" in route:
                    assert answer.status_code in {403, 404, 422}, f"{method} {route}: {answer.status_code}"
    assert seen > 30
    assert (await intake.view(f"/v1/requests/{request}"))["state"] == "in_progress"


CHANNELS_MAY = {
    "POST /v1/requests",
    "GET /v1/requests",
    "POST /v1/requests/batch",
    "POST /v1/subjects",
    "GET /v1/requests/{request_id}",
    "GET /v1/requests/{request_id}/timeline",
    "GET /v1/requests/{request_id}/letters",
    "GET /v1/actions",
    "POST /v1/requests/{request_id}/downloads",
    "GET /v1/downloads/{download_id}",
    "GET /v1/requests/{request_id}/certificate",
    "GET /v1/requests/{request_id}/recipients",
    "POST /v1/suppression/check",
}
SYSTEMS_MAY = {"GET /v1/tasks/identities", "PUT /v1/tasks/result"}


async def test_a_channel_does_nothing_that_the_privacy_team_does(intake: Intake) -> None:
    """Its own request is named, so that only the role of its key refuses it."""
    path = await intake.submit(right="erasure")
    before, wrong = await intake.actions(path), dict[str, int]()
    for route, operations in orjson.loads((ROOT / "docs" / "openapi.json").read_bytes())["paths"].items():
        for method in operations:
            if (operation := f"{method.upper()} {route}") not in CHANNELS_MAY | SYSTEMS_MAY:
                body = None if method == "get" else b"{}"
                answer = await intake.channel.request(method, filled(route, id_of(path)), content=body)
                if (answer.status_code, answer.headers["content-type"]) != (403, "application/problem+json"):
                    wrong[operation] = answer.status_code
    may = {each.name for each, _ in registered() if each.channel}
    assert may == {"verify", "revoke-proof", "withdraw", "record-reply"}
    for each, _ in registered():
        if each.name not in may and each.kind == "requests":
            answer = await intake.channel.post(f"{path}/actions/{each.name}", content=b"{}")
            assert (each.name, answer.status_code) == (each.name, 403)
    assert wrong == {}
    assert await intake.actions(path) == before


def carried(answer: httpx.Response) -> dict[str, str]:
    """Returns the mandatory headers of an answer."""
    return {name: answer.headers[name] for name in CARRIED if name in answer.headers}


def filled(path: str, request_id: str) -> str:
    """The path of a request that there is, and of nothing else that there is."""
    nothing = str(uuid7())
    there = {"request_id": request_id, "kind": "holds"}
    return re.sub(r"\{(\w+)(?::uuid)?\}", lambda named: there.get(named[1], nothing), path)
