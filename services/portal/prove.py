"""Proving who one is: a link or a code that went to a contact, or a session of the customer portal.

Until then every page says the same, whether the person or the request is known or not: nothing is looked up before the
answer is on its way.
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
from services.intake.identity.proof_links import Used
from services.intake.request.aggregate import Request
from services.intake.store import lookup
from services.portal import proof
from services.portal.draft import SignedIn
from services.portal.portal import LINKED, Portal, Works, at, follows_now, said, spoken
from services.portal.proof import may_follow, signed_in_of
from services.web.forms import FormError
from services.web.site import Visit
from shared.domain import reference
from shared.domain.sentences import say


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of proving."""
    proving = Proving(portal.works)
    return [
        portal.page("/{language}/prove/{token}", proving.link, sends=True),
        portal.page("/{language}/code", proving.code, sends=True),
        portal.page("/{language}/code/again", proving.again, sends=True),
        portal.page("/{language}/follow", proving.follow, sends=True),
        portal.page("/{language}/signed-in", proving.signed_in, sends=True),
        portal.page("/{language}/signed-in/forget", proving.forget, sends=True),
    ]


@dataclass(frozen=True)
class Proving:
    """The pages of proving."""

    works: Works

    async def link(self, visit: Visit) -> Response:
        """Is it you who has asked for this? Opening the page uses up nothing; its buttons do."""
        token = visit.request.path_params["token"]
        answer = visit.form.get("answer")  # neither, where it was no button that has sent the form
        if answer not in {"mine", "not_me"} and (asked := await self._asked(token)):
            begun = not any(each.begins_by_proof for each in asked)
            return visit.page("prove.html", asked=[_named(visit, each) for each in asked], begun=begun)
        if answer == "not_me":
            await self.works.links.disown(token)
            return said(visit, "portal.disowned_title", "portal.disowned", "/", "portal.to_start")
        used = await self.works.links.open(token) if answer == "mine" else None
        if used is None:
            return said(visit, "portal.link_gone_title", "portal.link_gone", "/follow", "portal.start_follow_link")
        return await self._let_in(visit, used)

    async def _asked(self, token: str) -> list[Request]:
        """What a link confirms; nothing where the link is good no more."""
        request_id = await self.works.links.look(token)
        if request_id is None:
            return []
        use_cases = self.works.services.use_cases
        request = await use_cases.read(request_id, auth.portal(request_id))
        return await use_cases.case_of(request) or [request]

    async def code(self, visit: Visit) -> Response:
        """Which code did we send?"""
        policy, waiting = self.works.services.use_cases.identity.links, visit.session.data.get("waiting")
        if not isinstance(waiting, dict):
            return at(visit, "/follow")
        if int(str(waiting["wrong"])) >= policy.failures:
            return said(visit, "portal.stopped_title", "portal.stopped", "/", "portal.to_start")
        wrong: list[FormError] = []
        if visit.sent:
            if not any(each.isdecimal() for each in visit.form.get("code")):
                wrong = [FormError("code", spoken(visit, say("portal_error.code_missing")))]
            else:
                used = await self.works.links.enter(UUID(str(waiting["link"])), visit.form.get("code"))
                if used:
                    return await self._let_in(visit, used)
                visit.session.data["waiting"] = {**waiting, "wrong": int(str(waiting["wrong"])) + 1}
                wrong = [FormError("code", spoken(visit, say("portal_error.code")))]
        return visit.page("code.html", wrong, minutes=policy.code_minutes, page=_page())

    async def again(self, visit: Visit) -> Response:
        """Another link and code, to the same contact."""
        waiting = visit.session.data.get("waiting")
        if not visit.sent or not isinstance(waiting, dict):
            return at(visit, "/follow")
        return self._sends(visit, str(waiting["request"]), int(str(waiting["wrong"])))

    async def follow(self, visit: Visit) -> Response:
        """What is the reference of the request? Whatever it is, the next page is the same."""
        if not visit.sent:
            return visit.page("follow.html", page=_page())
        named = visit.form.get("reference")
        if reference.read(named) is None:
            wrong = [FormError("reference", spoken(visit, say("portal_error.reference")))]
            return visit.page("follow.html", wrong, page=_page())
        self.works.count_sending(visit.request)
        return self._sends(visit, named, 0)

    async def signed_in(self, visit: Visit) -> Response:
        """Takes a sign-in at the customer portal: shows what it would confirm, and counts once that is confirmed."""
        if self.works.tokens is None:
            raise NotFound("nobody vouches for sign-ins here")
        token = visit.form.get("token") if visit.sent else visit.request.query_params.get("token", "")
        who, token_id = self.works.tokens.read(token, self.works.services.unit_of_work.clock.now())
        request = await self._theirs(visit, who)
        if not visit.sent:
            asked = [_named(visit, request)] if request else []
            return visit.page("signed_in.html", token=token, asked=asked, mine=request and request.request_id)
        if not await self.works.links.once(token_id):
            raise BadRequest("the sign-in was used before")
        visit.session.data["signed_in"] = who.model_dump(mode="json")
        visit.session.renew()
        if request is None or visit.form.get("mine") != str(request.request_id):
            return at(visit, "/ask/right")
        if visit.session.data.get("request") != str(request.request_id):
            follows_now(visit, str(request.request_id))
        vouched = await proof.vouched_of(self.works, request, who)
        await proof.verify(self.works, request.request_id, vouched)
        request = await proof.read(self.works, request.request_id)
        if vouched and not await proof.vouches(self.works, request, who):
            visit.session.data["noted"] = "proof_late"
        return await self._follows(visit, request)

    async def forget(self, visit: Visit) -> Response:
        """Whoever asks is not the one who has signed in: what they write is sent without that."""
        if visit.sent:
            visit.session.data.pop("signed_in", None)
        return at(visit, "/ask/details")

    def _sends(self, visit: Visit, named: str, wrong: int) -> Response:
        """Goes on to the page of the code; whether there is anything to send is looked up once that is on its way."""
        link_id = proof.link_id(visit, f"{named} {visit.form.get('page')}")
        visit.session.data["waiting"] = {"request": named, "link": str(link_id), "wrong": wrong}
        visit.session.wanted = True
        response = at(visit, "/code")
        asker = self.works.asker(visit.request)
        response.background = BackgroundTask(self._send, named, link_id, asker)
        return response

    async def _send(self, named: str, link_id: UUID, asker: str) -> None:
        if request_id := await lookup.named(self.works.services.unit_of_work.pool, named):
            await self.works.links.send(request_id, link_id, auth.portal(), asker)

    async def _let_in(self, visit: Visit, used: Used) -> Response:
        """Whoever controls the contact of a request follows it from now on, and has proved that it is theirs.

        They have proved as much of what came in the same message, where it states the same address. Where somebody else
        has proved the request before, they do not follow it.
        """
        asked_here = visit.session.data.get("request") == str(used.request_id)
        follows_now(visit, str(used.request_id), **{LINKED: used.address.hex()})
        visit.session.renew()
        use_cases = self.works.services.use_cases
        request = await proof.read(self.works, used.request_id)
        together = await use_cases.case_of(request) or [request]
        async with self.works.services.unit_of_work.begin() as tx:
            contact = await proof_links.of_link(tx, used)
        if contact:
            for each in together:
                await proof.confirm(self.works, each.request_id, contact)
        by_link = IdentityProof(identity="email", method=use_cases.identity.links.method)
        who = signed_in_of(visit)
        vouched = await proof.vouched_of(self.works, request, who) if who else []
        for request_id in await self.works.links.proved_by(used, together):
            # Who has signed in and asked in this session is one person with who has the link in it (decision record 9).
            besides = vouched if asked_here and request_id == used.request_id else []
            await proof.verify(self.works, request_id, [*besides, by_link])
        await proof.verify(self.works, used.request_id, vouched)
        return await self._follows(visit, request)

    async def _follows(self, visit: Visit, request: Request) -> Response:
        """Goes on to the request, if what it is proved by was shown in this session."""
        if await may_follow(self.works, visit, request):
            return at(visit, "/request")
        del visit.session.data["request"]
        visit.session.principal = None
        waiting: dict[str, JsonValue] = {"request": str(request.request_id), "link": str(uuid7()), "wrong": 0}
        visit.session.data["waiting"] = waiting  # who signs in now sees it at once, if it is theirs
        sign_in = self.works.settings.sign_in_url
        besides = [("portal.not_shown_sign_in", sign_in, "portal.sign_in")] if sign_in else []
        return said(visit, "portal.not_shown_title", "portal.not_shown", "/", "portal.to_start", besides)

    async def _theirs(self, visit: Visit, who: SignedIn) -> Request | None:
        """Returns the request that a sign-in is for: the one they asked to see last, if it states who they are."""
        waiting, known = visit.session.data.get("waiting"), visit.session.data.get("request")
        if isinstance(waiting, dict) and waiting["request"] != known:
            async with self.works.services.unit_of_work.pool.acquire() as connection:
                request_id = await lookup.named(connection, str(waiting["request"]))
                shown = request_id and await proof_links.may_follow(connection, request_id, auth.portal())
            if request_id and shown:
                request = await proof.read(self.works, request_id)
                if await proof.vouched_of(self.works, request, who):
                    return request
        return await proof.read(self.works, UUID(known)) if isinstance(known, str) else None


def _page() -> str:
    """By what a page is known that asks for a link: each that is shown may ask for one."""
    return secrets.token_urlsafe(16)


def _named(visit: Visit, request: Request) -> tuple[str, str]:
    """What was asked for, and the day on which that came."""
    day = say("portal.day", day=request.received_at)
    return spoken(visit, say(f"portal_right.{request.right}")), spoken(visit, day, request.zones[-1])
