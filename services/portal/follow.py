"""Following a request: what happens next and by when, what was found where, questions, letters, report, package."""

import hmac
import secrets
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid5

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.access import auth
from services.intake.actions import registry
from services.intake.actions.bodies import Nothing, QuestionReply
from services.intake.actions.performing import Basis
from services.intake.api import downloads, views
from services.intake.core.errors import BadRequest, Expired, Forbidden, NotFound, PreconditionFailed
from services.intake.letters import correspondence, portal_news
from services.intake.letters.rendering import Letters
from services.intake.packages import downloads as packages
from services.intake.request import delivery
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import standing
from services.intake.store.repository import Requests
from services.portal import told
from services.portal.portal import TRIES, NotProved, Overtaken, Portal, Works, at, language_of, spoken
from services.portal.proof import may_follow
from services.web.forms import FormError
from services.web.site import Visit
from shared.domain import reference
from shared.domain.errors import Shredded
from shared.domain.notices import Reader
from shared.domain.rights import Right
from shared.domain.sentences import Fact, Term, say
from shared.messaging.unit_of_work import UnitOfWorkFactory


async def note(unit_of_work: UnitOfWorkFactory, letters: Letters, request_id: UUID) -> None:
    """Notes that their page shows the open question of a request now; once, and nothing where it was told before."""
    async with unit_of_work.begin() as tx:
        registry = await Requests.locked(tx, letters, [request_id])
        request = registry.get(request_id)
        if request is None or request.question is None or not request.question.untold:
            return
        registry.tell(delivery.shown(request, tx.now))
        tx.log_evidence(request_id, "question.shown", {"question_id": str(request.question.question_id)})
        await portal_news.known(tx, request_id, request.question.question_id)
        await registry.save()


_LONGEST = 4000
_NONCE = 22
"""Characters of 128 random bits, with which a link to the package begins."""
_VERSION = 18
"""Digits of the highest version that a request may have."""
_LEADS_HERE = frozenset({"proof_link", "portal_news"})
"""Letters that say no more than how to open this very page."""
_NOTED = ("answered", "withdrawn", "not_withdrawn", "fetching", "proof_late")


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of one's own request."""
    following = Following(portal.works)
    return [
        portal.page("/{language}/request", following.status),
        portal.page("/{language}/request/answer", following.answer, sends=True),
        portal.page("/{language}/request/withdraw", following.withdraw, sends=True),
        portal.page("/{language}/request/letters", following.letters),
        portal.page("/{language}/request/report", following.report),
        portal.page("/{language}/request/package", following.package),
        portal.page("/{language}/sign-out", following.sign_out, sends=True),
    ]


@dataclass(frozen=True)
class Following:
    """The pages of one's own request, for whoever has proved that it is theirs in this session."""

    works: Works

    async def status(self, visit: Visit) -> Response:
        """Where is it, until when, what was found where?"""
        request = await self._shown(visit)
        use_cases, settings = self.works.services.use_cases, self.works.services.settings
        today = self.works.services.unit_of_work.clock.now().date()
        view = views.view(request, today, use_cases.letters, officer=False)

        def words(fact: Fact) -> str:
            return use_cases.letters.words(fact, self._reader(visit, request))

        found = [
            {"system": words(each.system), "kind": words(each.kind), "count": words(each.count)}
            for each in told.found_where(view.coverage)
        ]
        noted = visit.session.data.pop("noted", None)
        used_up = view.package and await self._is_used_up(request)
        link = _link(visit, request) if view.package and not used_up else None
        return visit.page(
            "request.html",
            right=words(Term("right", request.right)),
            reference=reference.of(request.request_id),
            received=words(request.received_at),
            due=words(request.due_on),
            ended=request.closed_at is not None,
            answer=words(standing(request, today)),
            next=[words(each) for each in told.next_steps(request)],
            question=await self._question(request),
            answerable=_answerable(request),
            sign_in=self.works.settings.sign_in_url if told.may_sign_in(request) else None,
            package=link,
            used_up=used_up,
            report=view.package and request.right is Right.ACCESS,
            package_days=settings.package_days,
            package_times=settings.package_downloads,
            found=found,
            may_withdraw=told.may_withdraw(request),
            saved=spoken(visit, say(f"portal.{noted}")) if noted in _NOTED else "",
        )

    async def answer(self, visit: Visit) -> Response:
        """What did we ask you?"""
        request = await self._shown(visit)
        wrong: list[FormError] = []
        if visit.sent:
            text = visit.form.get("text")
            if not text:
                wrong = [FormError("text", spoken(visit, say("portal_error.answer")))]
            elif len(text) > _LONGEST:
                wrong = [FormError("text", spoken(visit, say("portal_error.long")))]
            else:
                click = visit.session.mark(f"answer {visit.form.get('question')} {text}")
                if visit.session.data.get("answered") != click:  # else it is the second of a double click
                    await self._take_answer(visit, text)
                visit.session.data |= {"noted": "answered", "answered": click}
                return at(visit, "/request")
        question = await self._question(request)
        if not request.question or not question or not _answerable(request):
            return at(visit, "/request")
        return visit.page("answer.html", wrong, question=question, question_id=request.question.question_id)

    async def _take_answer(self, visit: Visit, text: str) -> None:
        """Enters the answer to the question that the page has shown, however often the request changes meanwhile.

        Raises:
            Overtaken: that question is no longer open; the page gives the text back.
        """
        for _ in range(TRIES):
            request = await self._mine(visit)
            open_now = request.question if _answerable(request) else None
            if open_now is None or str(open_now.question_id) != visit.form.get("question"):
                break
            basis = Basis(str(request.request_id), str(request.version), auth.portal(request.request_id))
            with suppress(PreconditionFailed):
                await registry.decide(self.works.services.use_cases, basis, "record-reply", QuestionReply(text=text))
                return
        raise Overtaken(text)

    async def withdraw(self, visit: Visit) -> Response:
        """Really stop?"""
        request = await self._mine(visit)
        if not told.may_withdraw(request):
            visit.session.data["noted"] = "not_withdrawn"
            return at(visit, "/request")
        if visit.sent:
            basis = await self._basis(visit, request)
            await registry.decide(self.works.services.use_cases, basis, "withdraw", Nothing())
            visit.session.data["noted"] = "withdrawn"
            return at(visit, "/request")
        return visit.page("withdraw.html", version=request.version)

    async def letters(self, visit: Visit) -> Response:
        """What did you write?"""
        request = await self._mine(visit)
        use_cases = self.works.services.use_cases
        try:
            written = await use_cases.read_letters(request.request_id, auth.portal(request.request_id), None)
        except Shredded:
            written = []
        shown = [
            {**each, "written": use_cases.letters.words(each["written_at"], self._reader(visit, request))}  # type: ignore[arg-type]  # an instant
            for each in written
            if each["kind"] not in _LEADS_HERE
        ]
        return visit.page("letters.html", letters=shown)

    async def report(self, visit: Visit) -> Response:
        """What do you hold of me? The report of the package as it was made, to be read here or printed."""
        request = await self._mine(visit)
        caller = auth.portal(request.request_id)
        link = await downloads.begin(request.request_id, "report", caller, self.works.services)
        return await downloads.fetched(link.download_id, caller, self.works.services)

    async def package(self, visit: Visit) -> Response:
        """The report and the data, as the API hands them out.

        Its link is good for one download, which a browser continues where it broke off: a double click is counted once.
        Each page that is shown has a link of its own, and none ends another's.
        """
        request, link = await self._mine(visit), visit.request.query_params.get("link", "")
        if not hmac.compare_digest(_link(visit, request, link[:_NONCE]).encode(), link.encode()):
            return at(visit, "/request")
        caller, portal_news = auth.portal(request.request_id), visit.request.headers
        download_id = uuid5(request.request_id, link)
        used = not await self.works.links.once(link)
        if not used:
            await downloads.begin(request.request_id, "package", caller, self.works.services, download_id)
        asked_for = (portal_news.get("range"), portal_news.get("if-range"))
        try:
            if not used or asked_for[0]:
                return await downloads.fetched(download_id, caller, self.works.services, asked_for)
        except Expired:
            if not used:
                raise
        visit.session.data["noted"] = "fetching"
        return at(visit, "/request")

    async def sign_out(self, visit: Visit) -> Response:
        """Ends this session, or every session of this request."""
        if visit.sent:
            if visit.form.get("where") == "everywhere" and visit.session.principal:
                await visit.site.sessions.end_all(visit.session.principal)
            visit.session.end()
        return at(visit, "/")

    async def _is_used_up(self, request: Request) -> bool:
        most = self.works.services.settings.package_downloads
        if request.package_id is None:
            return False
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            return await packages.is_used_up(connection, request.request_id, request.package_id, most)

    async def _mine(self, visit: Visit) -> Request:
        """The request that this session has proved to be theirs; raises ``NotProved``."""
        known = visit.session.data.get("request")
        if not isinstance(known, str):
            raise NotProved("prove first that the request is yours", visit.form)
        try:
            request = await self.works.services.use_cases.read(UUID(known), auth.portal(UUID(known)))
        except NotFound:
            raise Forbidden("the request is no longer kept") from None
        if not await may_follow(self.works, visit, request):
            raise NotProved("prove first that the request is yours", visit.form)
        return request

    async def _shown(self, visit: Visit) -> Request:
        """The same, for a page that shows its question."""
        request = await self._mine(visit)
        if request.question is None or not request.question.untold:
            return request
        await note(self.works.services.unit_of_work, self.works.services.use_cases.letters, request.request_id)
        return await self._mine(visit)

    async def _basis(self, visit: Visit, request: Request) -> Basis:
        """The version that the page has shown: what has changed since is looked at first."""
        version = visit.form.get("version")
        if not version.isdecimal() or not version.isascii() or len(version) > _VERSION:
            raise BadRequest("the page is not whole")
        return Basis(str(request.request_id), version, auth.portal(request.request_id))

    async def _question(self, request: Request) -> str:
        """The words of a question that can be answered here; of one about who they are, what a person has written."""
        own = request.question is not None and request.question.own_words and request.state is State.AWAITING_IDENTITY
        if not (own or _answerable(request)):
            return ""
        async with self.works.services.unit_of_work.begin() as tx:
            return await correspondence.words_of(tx, self.works.services.use_cases.letters, request)

    def _reader(self, visit: Visit, request: Request) -> Reader:
        return Reader(language_of(visit.request), request.zones[-1], request.country)


def _answerable(request: Request) -> bool:
    """Whether there is a question that is answered by words; one about who they are is answered by proof."""
    open_now = request.state in {State.AWAITING_CLARIFICATION, State.IN_PROGRESS} or request.resumable
    return request.question is not None and not request.awaits_proof and open_now


def _link(visit: Visit, request: Request, nonce: str | None = None) -> str:
    """A link to the package as it is now, for this session alone: of that nonce, or a new one."""
    nonce = nonce or secrets.token_urlsafe(16)
    return f"{nonce}{visit.session.mark(f'package {request.package_id} {nonce}')}"
