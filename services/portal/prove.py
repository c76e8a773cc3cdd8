"""Proving an identity: by a link or a code sent to a contact, or by a sign-in at the customer portal.

Before the proof every page is the same for known and unknown people: the lookup runs after the response.
"""

import secrets
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.routing import BaseRoute
from uuid_utils.compat import uuid7

from services.intake.access import auth
from services.intake.core.errors import BadRequest, NotFound
from services.intake.core.schemas import IdentityProof
from services.intake.identity import proof_links
from services.intake.identity.proof_links import UsedLink
from services.intake.request.aggregate import Request
from services.intake.store import lookup
from services.portal import proof
from services.portal.draft import PortalSignIn
from services.portal.portal import LINKED, Portal, PortalContext, at, follows_now, said, spoken
from services.portal.proof import may_follow, signed_in_of
from services.web.forms import FormError
from services.web.site import Visit
from shared.domain import reference
from shared.domain.sentences import say


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of proving."""
    proving = ProofPages(portal.context)
    return [
        portal.page("/{language}/prove/{token}", proving.link, sends=True),
        portal.page("/{language}/code", proving.code, sends=True),
        portal.page("/{language}/code/again", proving.again, sends=True),
        portal.page("/{language}/follow", proving.follow, sends=True),
        portal.page("/{language}/signed-in", proving.signed_in, sends=True),
        portal.page("/{language}/signed-in/forget", proving.forget, sends=True),
    ]


@dataclass(frozen=True)
class ProofPages:
    """The pages of proving."""

    context: PortalContext

    async def link(self, visit: Visit) -> Response:
        """Asks whether the visitor made the request; only the buttons use up the link."""
        token = visit.request.path_params["token"]
        answer = visit.form.get("answer")
        if answer not in {"mine", "not_me"} and (asked := await self._asked(token)):
            begun = not any(each.begins_by_proof for each in asked)
            return visit.page("prove.html", asked=[_named(visit, each) for each in asked], begun=begun)
        if answer == "not_me":
            await self.context.links.disown(token)
            return said(visit, "portal.disowned_title", "portal.disowned", "/", "portal.to_start")
        used = await self.context.links.open(token) if answer == "mine" else None
        if used is None:
            return said(visit, "portal.link_gone_title", "portal.link_gone", "/follow", "portal.start_follow_link")
        return await self._let_in(visit, used)

    async def _asked(self, token: str) -> list[Request]:
        """Returns the requests that a link confirms; none for an expired link."""
        request_id = await self.context.links.find_request(token)
        if request_id is None:
            return []
        use_cases = self.context.services.use_cases
        request = await use_cases.read(request_id, auth.portal_caller(request_id))
        return await use_cases.case_of(request) or [request]

    async def code(self, visit: Visit) -> Response:
        """Takes the code."""
        policy, waiting = self.context.services.use_cases.identity.links, visit.session.data.get("waiting")
        if not isinstance(waiting, dict):
            return at(visit, "/follow")
        if int(str(waiting["wrong"])) >= policy.failures:
            return said(visit, "portal.stopped_title", "portal.stopped", "/", "portal.to_start")
        wrong: list[FormError] = []
        if visit.sent:
            if not any(each.isdecimal() for each in visit.form.get("code")):
                wrong = [FormError("code", spoken(visit, say("portal_error.code_missing")))]
            else:
                used = await self.context.links.enter(UUID(str(waiting["link"])), visit.form.get("code"))
                if used:
                    return await self._let_in(visit, used)
                visit.session.data["waiting"] = {**waiting, "wrong": int(str(waiting["wrong"])) + 1}
                wrong = [FormError("code", spoken(visit, say("portal_error.code")))]
        return visit.page("code.html", wrong, minutes=policy.code_minutes, page=_page())

    async def again(self, visit: Visit) -> Response:
        """Sends another link and code to the same contact."""
        waiting = visit.session.data.get("waiting")
        if not visit.sent or not isinstance(waiting, dict):
            return at(visit, "/follow")
        return self._sends(visit, str(waiting["request"]), int(str(waiting["wrong"])))

    async def follow(self, visit: Visit) -> Response:
        """Takes a reference; the next page is the same for every reference."""
        if not visit.sent:
            return visit.page("follow.html", page=_page())
        named = visit.form.get("reference")
        if reference.read(named) is None:
            wrong = [FormError("reference", spoken(visit, say("portal_error.reference")))]
            return visit.page("follow.html", wrong, page=_page())
        self.context.count_sending(visit.request)
        return self._sends(visit, named, 0)

    async def signed_in(self, visit: Visit) -> Response:
        """Takes a sign-in at the customer portal; it counts once the visitor confirms it."""
        if self.context.tokens is None:
            raise NotFound("the portal takes no sign-ins")
        token = visit.form.get("token") if visit.sent else visit.request.query_params.get("token", "")
        who, token_id = self.context.tokens.read(token, self.context.services.unit_of_work.clock.now())
        request = await self._own_request(visit, who)
        if not visit.sent:
            asked = [_named(visit, request)] if request else []
            return visit.page("signed_in.html", token=token, asked=asked, mine=request and request.request_id)
        if not await self.context.links.is_first_use(token_id):
            raise BadRequest("the sign-in was used before")
        visit.session.data["signed_in"] = who.model_dump(mode="json")
        visit.session.renew()
        if request is None or visit.form.get("mine") != str(request.request_id):
            return at(visit, "/ask/right")
        if visit.session.data.get("request") != str(request.request_id):
            follows_now(visit, str(request.request_id))
        vouched = await proof.vouched_of(self.context, request, who)
        await proof.verify(self.context, request.request_id, vouched)
        request = await proof.read(self.context, request.request_id)
        if vouched and not await proof.vouches(self.context, request, who):
            visit.session.data["noted"] = "proof_late"
        return await self._follows(visit, request)

    async def forget(self, visit: Visit) -> Response:
        """Forgets the sign-in of another person; the draft is submitted without it."""
        if visit.sent:
            visit.session.data.pop("signed_in", None)
        return at(visit, "/ask/details")

    def _sends(self, visit: Visit, named: str, wrong: int) -> Response:
        """Continues to the page of the code; the lookup runs after the response."""
        link_id = proof.link_id(visit, f"{named} {visit.form.get('page')}")
        visit.session.data["waiting"] = {"request": named, "link": str(link_id), "wrong": wrong}
        visit.session.wanted = True
        response = at(visit, "/code")
        asker = self.context.asker(visit.request)
        response.background = BackgroundTask(self._send, named, link_id, asker)
        return response

    async def _send(self, named: str, link_id: UUID, asker: str) -> None:
        if request_id := await lookup.find_by_reference(self.context.services.unit_of_work.pool, named):
            await self.context.links.send(request_id, link_id, auth.portal_caller(), asker)

    async def _let_in(self, visit: Visit, used: UsedLink) -> Response:
        """Records the proof of a contact, and lets the session follow its request.

        The proof also counts for requests of the same message with the same address. A request that another person has
        proved stays closed.
        """
        asked_here = visit.session.data.get("request") == str(used.request_id)
        follows_now(visit, str(used.request_id), **{LINKED: used.address.hex()})
        visit.session.renew()
        use_cases = self.context.services.use_cases
        request = await proof.read(self.context, used.request_id)
        together = await use_cases.case_of(request) or [request]
        async with self.context.services.unit_of_work.begin() as tx:
            contact = await proof_links.contact_of_link(tx, used)
        if contact:
            for each in together:
                await proof.confirm(self.context, each.request_id, contact)
        by_link = IdentityProof(identity="email", method=use_cases.identity.links.method)
        who = signed_in_of(visit)
        vouched = await proof.vouched_of(self.context, request, who) if who else []
        for request_id in await self.context.links.proved_by(used, together):
            # One session is one person: its sign-in and its link prove the request together (decision record 9).
            signed = vouched if asked_here and request_id == used.request_id else []
            await proof.verify(self.context, request_id, [*signed, by_link])
        await proof.verify(self.context, used.request_id, vouched)
        return await self._follows(visit, request)

    async def _follows(self, visit: Visit, request: Request) -> Response:
        """Continues to the request, if this session has proved it."""
        if await may_follow(self.context, visit, request):
            return at(visit, "/request")
        del visit.session.data["request"]
        visit.session.principal = None
        waiting: dict[str, JsonValue] = {"request": str(request.request_id), "link": str(uuid7()), "wrong": 0}
        visit.session.data["waiting"] = waiting  # a sign-in now opens it, if it is theirs
        sign_in = self.context.settings.sign_in_url
        more = [("portal.not_shown_sign_in", sign_in, "portal.sign_in")] if sign_in else []
        return said(visit, "portal.not_shown_title", "portal.not_shown", "/", "portal.to_start", more)

    async def _own_request(self, visit: Visit, who: PortalSignIn) -> Request | None:
        """Returns the request that a sign-in is for: the one they asked to see last, if it states who they are."""
        waiting, known = visit.session.data.get("waiting"), visit.session.data.get("request")
        if isinstance(waiting, dict) and waiting["request"] != known:
            async with self.context.services.unit_of_work.pool.acquire() as connection:
                request_id = await lookup.find_by_reference(connection, str(waiting["request"]))
                shown = request_id and await proof_links.is_visible_in_portal(
                    connection, request_id, auth.portal_caller()
                )
            if request_id and shown:
                request = await proof.read(self.context, request_id)
                if await proof.vouched_of(self.context, request, who):
                    return request
        return await proof.read(self.context, UUID(known)) if isinstance(known, str) else None


def _page() -> str:
    """Returns the ID of a page: each page may ask for one link."""
    return secrets.token_urlsafe(16)


def _named(visit: Visit, request: Request) -> tuple[str, str]:
    """Returns the words of a request, and the day on which it came."""
    day = say("portal.day", day=request.received_at)
    return spoken(visit, say(f"portal_right.{request.right}")), spoken(visit, day, request.zones[-1])
