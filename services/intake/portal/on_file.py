"""The code that went to the contact on file of an account: typed where the request is followed, and disowned by a link.

Whether there is such an account, a contact or a code, the page says the same; and whoever has the letter can do no more
by it than say that they have asked for nothing.
"""

from dataclasses import dataclass
from uuid import UUID

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.identity import contact_codes, contact_on_file, disowned, following
from services.intake.portal import verifying
from services.intake.portal.portal import LINKED, ON_FILE, STEPS_UP, NotProved, Portal, Works, at, said, spoken
from services.intake.portal.shown import may_follow
from services.intake.repository import Requests
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.schemas import IdentityProof
from services.intake.web.forms import FormError
from services.intake.web.site import Visit
from shared.domain.sentences import say


def routes(portal: Portal) -> list[BaseRoute]:
    """The page of the code, and that of whoever got it and has asked for nothing."""
    on_file = OnFile(portal.works)
    return [
        portal.page("/{language}/request/contact", on_file.code, sends=True),
        portal.page("/{language}/request/contact/again", on_file.again, sends=True),
        portal.page("/{language}/contact/{token}", on_file.not_me, sends=True),
    ]


async def is_asked(works: Works, visit: Visit, request: Request) -> bool:
    """Whether a code of a contact on file would prove more for whoever follows this by the address that they ask from.

    It would where they have named an account that is not proved yet, whether there is such a contact or none.
    """
    linked, vault = visit.session.data.get(LINKED), works.services.unit_of_work.vault
    if request.state is not State.AWAITING_IDENTITY or not isinstance(linked, str):
        return False
    async with works.services.unit_of_work.pool.acquire() as connection:
        named = await contact_codes.named(connection, request.request_id)
        proved = await following.proved_by(connection, vault, request)
    return named is not None and named not in proved and bytes.fromhex(linked) in proved


async def lacks_code(works: Works, visit: Visit, request: Request) -> bool:
    """Whether somebody who has just shown the address that they ask from lacks a code of the contact on file alone."""
    linked, vault = visit.session.data.get(LINKED), works.services.unit_of_work.vault
    if not isinstance(linked, str):
        return False
    shown = {bytes.fromhex(linked)}
    async with works.services.unit_of_work.pool.acquire() as connection:
        proved = await following.proved_by(connection, vault, request)
        follows = await following.may_follow(connection, vault, request, shown)
    return not proved.isdisjoint(shown) and not follows


def steps_up(works: Works, visit: Visit, request: Request) -> Response:
    """Goes on to the page of the code, and has one sent once that is on its way; until then nothing is followed."""
    visit.session.data.pop("request", None)
    visit.session.data[STEPS_UP] = str(request.request_id)
    response = at(visit, "/request/contact")
    response.background = BackgroundTask(_send, works, request.request_id)
    return response


@dataclass(frozen=True)
class OnFile:
    """The pages of the code."""

    works: Works

    async def code(self, visit: Visit) -> Response:
        """Which code did we send to the contact on file?"""
        request = await self._about(visit)
        if request is None:
            return at(visit, "/request")
        policy = self.works.services.use_cases.identity.on_file
        wrong: list[FormError] = []
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            stopped = await contact_codes.is_stopped(connection, request.request_id)
        if stopped:
            return said(visit, "portal.stopped_title", "portal.on_file_stopped", "/", "portal.to_start")
        if visit.sent:
            if not any(each.isdecimal() for each in visit.form.get("code")):
                wrong = [FormError("code", spoken(visit, say("portal_error.code_missing")))]
            else:
                async with self.works.services.unit_of_work.begin() as tx:
                    entered = visit.form.get("code")
                    mark = await contact_codes.enter(tx, policy, request.request_id, request.right, entered)
                if mark is not None:
                    return await self._goes_on(visit, request, mark)
                wrong = [FormError("code", spoken(visit, say("portal_error.code")))]
        right = spoken(visit, say(f"portal_right.{request.right}"))
        received = spoken(visit, say("portal.day", day=request.received_at), request.zones[-1])
        return visit.page("contact_code.html", wrong, hours=policy.hours, right=right, received=received)

    async def again(self, visit: Visit) -> Response:
        """Another code, to the same contact."""
        request = await self._about(visit)
        response = at(visit, "/request/contact" if request else "/request")
        if visit.sent and request:
            response.background = BackgroundTask(_send, self.works, request.request_id)
        return response

    async def not_me(self, visit: Visit) -> Response:
        """Is it you who has asked? Opening the page uses up nothing; its one button says that it was not."""
        token, unit_of_work = visit.request.path_params["token"], self.works.services.unit_of_work
        async with unit_of_work.pool.acquire() as connection:
            request_id = await contact_codes.look(connection, token, unit_of_work.clock.now())
        if request_id is None:
            return said(visit, "portal.link_gone_title", "portal.on_file_gone", "/", "portal.to_start")
        if visit.form.get("answer") == "not_me":
            async with unit_of_work.begin() as tx:
                services = self.works.services
                waits = await disowned.disown(tx, services.use_cases.letters, token, services.settings)
            title = "portal.on_file_disowned_title" if waits else "portal.on_file_untyped_title"
            return said(visit, title, "portal.on_file_disowned", "/", "portal.to_start")
        request = await verifying.read(self.works, request_id)
        right = spoken(visit, say(f"portal_right.{request.right}"))
        received = spoken(visit, say("portal.day", day=request.received_at), request.zones[-1])
        return visit.page("contact_not_me.html", right=right, received=received)

    async def _about(self, visit: Visit) -> Request | None:
        """The request for which this session may type a code: followed in it by a link, or but for that code.

        None where it is followed, and nothing waits for a code any more.
        """
        session = visit.session.data
        known = session.get("request") or session.get(STEPS_UP)
        if not isinstance(known, str) or LINKED not in session:
            raise NotProved("prove first that the request is yours", visit.form)
        request = await verifying.read(self.works, UUID(known))
        if "request" in session:
            theirs = await may_follow(self.works, visit, request)
            if theirs and not (await is_asked(self.works, visit, request) or ON_FILE in session):
                return None
        else:
            theirs = await lacks_code(self.works, visit, request)
        if not theirs:
            raise NotProved("prove first that the request is yours", visit.form)
        return request

    async def _goes_on(self, visit: Visit, request: Request, mark: bytes) -> Response:
        """Both ends are proved, in one session: the address that they ask from, and what is sent to the contact."""
        session = visit.session
        session.data[ON_FILE] = mark.hex()
        session.data["request"] = session.principal = str(request.request_id)
        session.data.pop(STEPS_UP, None)
        session.renew()
        identity = self.works.services.use_cases.identity
        proofs = [
            IdentityProof(identity="email", method=identity.links.method),
            IdentityProof(identity="account_id", method=identity.on_file.method),
        ]
        if request.state is State.AWAITING_IDENTITY:
            taken = await verifying.verify(self.works, request.request_id, proofs)
            session.data["noted"] = "proof_on_file" if taken else "proof_late"
        return at(visit, "/request")


async def _send(works: Works, request_id: UUID) -> None:
    letters = works.services.use_cases.letters
    async with works.services.unit_of_work.begin() as tx:
        requests = await Requests.locked(tx, letters, [request_id])
        await contact_on_file.again(tx, letters, requests, request_id)
