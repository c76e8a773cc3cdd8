"""Following a request: its status, questions, letters, report and package."""

import hmac
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake.access import auth
from services.intake.actions import registry
from services.intake.actions.bodies import Nothing, QuestionReply
from services.intake.actions.execution import SeenVersion
from services.intake.api import downloads, views
from services.intake.core.errors import BadRequest, Forbidden, NotFound, PreconditionFailed
from services.intake.letters import portal_notifications, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.packages import downloads as packages
from services.intake.request import deferrals, delivery_effects
from services.intake.request.aggregate import Request
from services.intake.request.lifecycle import State
from services.intake.request.messages.answer import status_sentences
from services.intake.request.reports import Covered
from services.intake.store.repository import Requests
from services.portal.portal import TRIES, NotProved, Portal, PortalContext, StaleVersion, at, language_of, spoken
from services.portal.proof import may_follow
from services.web.forms import FormError
from services.web.site import Visit
from shared.domain import reference
from shared.domain.errors import Shredded
from shared.domain.notices import Reader
from shared.domain.operations import TaskOutcome
from shared.domain.rights import Right
from shared.domain.sentences import Fact, Sentence, Term, named_system, say
from shared.messaging.unit_of_work import UnitOfWorkFactory


async def note(unit_of_work: UnitOfWorkFactory, letters: LetterFacts, request_id: UUID) -> None:
    """Records, once, that the page shows the open question of a request."""
    async with unit_of_work.begin() as tx:
        registry = await Requests.locked(tx, letters, [request_id])
        request = registry.get(request_id)
        if request is None or request.question is None or not request.question.undelivered:
            return
        registry.apply_delivery(delivery_effects.on_question_read(request, tx.now))
        tx.log_evidence(request_id, "question.shown", {"question_id": str(request.question.question_id)})
        await portal_notifications.note_read(tx, request_id, request.question.question_id)
        await registry.save()


_LONGEST = 4000
_NONCE = 22
"""Characters of 128 random bits, with which a link to the package begins."""
_VERSION = 18
"""Digits of the highest version that a request may have."""
_LEADS_HERE = frozenset({"proof_link", "portal_news"})
"""Letters that only lead to this page."""
_SEARCHED: Final = frozenset(
    {
        *(TaskOutcome.EXPORTED, TaskOutcome.ERASED, TaskOutcome.AMENDED, TaskOutcome.RETAINED),
        *(TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED),
    }
)
"""The outcomes of a completed search."""
_COUNTS_ZERO: Final = frozenset({TaskOutcome.NO_MATCH, TaskOutcome.UNCHANGED})
_NOTED = ("answered", "withdrawn", "not_withdrawn", "fetching", "proof_late")


def routes(portal: Portal) -> list[BaseRoute]:
    """The pages of one's own request."""
    following = FollowPages(portal.context)
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
class FollowPages:
    """The pages of a request, for the person who has proved in this session that it is theirs."""

    context: PortalContext

    async def status(self, visit: Visit) -> Response:
        """Shows the status, the date and what was found."""
        request = await self._shown(visit)
        use_cases, settings = self.context.services.use_cases, self.context.services.settings
        today = self.context.services.unit_of_work.clock.now().date()
        view = views.view(request, today, use_cases.letters, officer=False)

        def words(fact: Fact) -> str:
            return use_cases.letters.words(fact, self._reader(visit, request))

        found = [
            {"system": words(each.system), "kind": words(each.kind), "count": words(each.count)}
            for each in found_where(view.coverage)
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
            answer=words(status_sentences(request, today)),
            next=[words(each) for each in next_steps(request)],
            question=await self._question(request),
            answerable=_answerable(request),
            sign_in=self.context.settings.sign_in_url if may_sign_in(request) else None,
            package=link,
            used_up=used_up,
            report=view.package and request.right is Right.ACCESS,
            package_days=settings.package_days,
            package_times=settings.package_downloads,
            found=found,
            may_withdraw=may_withdraw(request),
            saved=spoken(visit, say(f"portal.{noted}")) if noted in _NOTED else "",
        )

    async def answer(self, visit: Visit) -> Response:
        """Shows our question and takes the answer."""
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
        """Records the answer to the question that the page has shown; retries if the request changes meanwhile.

        Raises:
            StaleVersion: that question is no longer open; the page gives the text back.
        """
        for _ in range(TRIES):
            request = await self._own_request(visit)
            open_now = request.question if _answerable(request) else None
            if open_now is None or str(open_now.question_id) != visit.form.get("question"):
                break
            basis = SeenVersion(str(request.request_id), str(request.version), auth.portal_caller(request.request_id))
            with suppress(PreconditionFailed):
                await registry.decide(self.context.services.use_cases, basis, "record-reply", QuestionReply(text=text))
                return
        raise StaleVersion(text)

    async def withdraw(self, visit: Visit) -> Response:
        """Withdraws the request after a confirmation."""
        request = await self._own_request(visit)
        if not may_withdraw(request):
            visit.session.data["noted"] = "not_withdrawn"
            return at(visit, "/request")
        if visit.sent:
            basis = await self._basis(visit, request)
            await registry.decide(self.context.services.use_cases, basis, "withdraw", Nothing())
            visit.session.data["noted"] = "withdrawn"
            return at(visit, "/request")
        return visit.page("withdraw.html", version=request.version)

    async def letters(self, visit: Visit) -> Response:
        """Shows the letters."""
        request = await self._own_request(visit)
        use_cases = self.context.services.use_cases
        try:
            written = await use_cases.read_letters(request.request_id, auth.portal_caller(request.request_id), None)
        except Shredded:
            written = []
        shown = [
            {**each, "written": use_cases.letters.words(each["written_at"], self._reader(visit, request))}  # type: ignore[arg-type]  # an instant
            for each in written
            if each["kind"] not in _LEADS_HERE
        ]
        return visit.page("letters.html", letters=shown)

    async def report(self, visit: Visit) -> Response:
        """Shows the report of the package."""
        request = await self._own_request(visit)
        caller = auth.portal_caller(request.request_id)
        link = await downloads.begin(request.request_id, "report", caller, self.context.services)
        return await downloads.fetched(link.download_id, caller, self.context.services)

    async def package(self, visit: Visit) -> Response:
        """Hands out the package.

        Each page has its own link, good for one download: a double click counts once.
        """
        request, link = await self._own_request(visit), visit.request.query_params.get("link", "")
        if not hmac.compare_digest(_link(visit, request, link[:_NONCE]).encode(), link.encode()):
            return at(visit, "/request")
        if await self.context.links.is_first_use(link):
            caller = auth.portal_caller(request.request_id)
            made = await downloads.begin(request.request_id, "package", caller, self.context.services)
            return await downloads.fetched(made.download_id, caller, self.context.services)
        visit.session.data["noted"] = "fetching"
        return at(visit, "/request")

    async def sign_out(self, visit: Visit) -> Response:
        """Ends this session, or all sessions of this request."""
        if visit.sent:
            if visit.form.get("where") == "everywhere" and visit.session.principal:
                await visit.site.sessions.end_all(visit.session.principal)
            visit.session.end()
        return at(visit, "/")

    async def _is_used_up(self, request: Request) -> bool:
        most = self.context.services.settings.package_downloads
        if request.package_id is None:
            return False
        async with self.context.services.unit_of_work.pool.acquire() as connection:
            return await packages.is_used_up(connection, request.request_id, most)

    async def _own_request(self, visit: Visit) -> Request:
        """Returns the request that this session has proved; raises ``NotProved``."""
        known = visit.session.data.get("request")
        if not isinstance(known, str):
            raise NotProved("prove first that the request is yours", visit.form)
        try:
            request = await self.context.services.use_cases.read(UUID(known), auth.portal_caller(UUID(known)))
        except NotFound:
            raise Forbidden("the request is no longer kept") from None
        if not await may_follow(self.context, visit, request):
            raise NotProved("prove first that the request is yours", visit.form)
        return request

    async def _shown(self, visit: Visit) -> Request:
        """Returns the request, and records that its question is shown."""
        request = await self._own_request(visit)
        if request.question is None or not request.question.undelivered:
            return request
        await note(self.context.services.unit_of_work, self.context.services.use_cases.letters, request.request_id)
        return await self._own_request(visit)

    async def _basis(self, visit: Visit, request: Request) -> SeenVersion:
        """Returns the version that the page has shown."""
        version = visit.form.get("version")
        if not version.isdecimal() or not version.isascii() or len(version) > _VERSION:
            raise BadRequest("the page is not whole")
        return SeenVersion(str(request.request_id), version, auth.portal_caller(request.request_id))

    async def _question(self, request: Request) -> str:
        """Returns the text of a question that can be answered here, or that an officer has written."""
        own = request.question is not None and request.question.own_words and request.state is State.AWAITING_IDENTITY
        if not (own or _answerable(request)):
            return ""
        async with self.context.services.unit_of_work.begin() as tx:
            return await sealed_letters.question_text(tx, self.context.services.use_cases.letters, request)

    def _reader(self, visit: Visit, request: Request) -> Reader:
        return Reader(language_of(visit.request), request.zones[-1], request.country)


def _answerable(request: Request) -> bool:
    """Returns whether a text answers the question; one about identity needs proof."""
    open_now = request.state in {State.AWAITING_CLARIFICATION, State.IN_PROGRESS} or request.resumable
    return request.question is not None and not request.awaits_proof and open_now


def _link(visit: Visit, request: Request, nonce: str | None = None) -> str:
    """Returns a link to the package for this session; ``nonce``: of an earlier link."""
    nonce = nonce or secrets.token_urlsafe(16)
    return f"{nonce}{visit.session.mark(f'package {request.package_id} {nonce}')}"


@dataclass(frozen=True, slots=True)
class FoundData:
    """One line: a system, a kind of data, and the number of records, if it can be counted."""

    system: Fact
    kind: Fact
    count: Fact


def found_where(covered: Iterable[Covered]) -> tuple[FoundData, ...]:
    """Returns every kind of data that was searched, once, with the number of records found."""
    places: dict[tuple[str, str], list[Covered]] = {}
    for each in covered:
        if each.category or each.result in _SEARCHED:
            places.setdefault((each.system, each.category or ""), []).append(each)
    return tuple(_found(places[place]) for place in sorted(places))


def _found(there: list[Covered]) -> FoundData:
    first, most = there[0], max(each.found for each in there)
    counted = most or all(each.category or each.result in _COUNTS_ZERO for each in there)
    kind = Term("category", first.category) if first.category else say("portal.found_any_kind")
    return FoundData(named_system(first.system), kind, most if counted else say("portal.found_uncounted"))


def next_steps(request: Request) -> tuple[Sentence, ...]:
    """Returns what happens next, and what the person can do."""
    return tuple(_next(request))


def may_withdraw(request: Request) -> bool:
    """Returns whether a request is open, or its restriction is in force."""
    return request.is_in_force or request.allows("withdraw")


def may_sign_in(request: Request) -> bool:
    """Returns whether a sign-in would prove more."""
    waits = request.state is State.AWAITING_DECISION or request.resumable
    return request.state is State.AWAITING_IDENTITY or (waits and bool(deferrals.unproved(request.tasks)))


def _next(request: Request) -> Iterator[Sentence]:
    if request.package_fault and not request.package_is_gone:
        yield say("portal_next.withheld")
    match request.state:
        case State.CLOSED:
            if may_sign_in(request):
                yield say("portal_next.more_proof")
            elif request.resumable:
                yield say("portal_next.resumable")
            return
        case State.AWAITING_IDENTITY:
            by_link = "portal_next.proof_by_post" if request.channel == "post" else "portal_next.proof"
            yield say("portal_next.more_proof" if deferrals.unproved(request.tasks) else by_link)
        case State.AWAITING_CLARIFICATION:
            yield say("portal_next.question")
        case State.AWAITING_DECISION if may_sign_in(request):
            yield say("portal_next.more_proof")
            yield say("portal_next.person_meanwhile")
        case State.AWAITING_DECISION:
            yield say("portal_next.person")
        case _:
            asks = request.question is not None and not request.awaits_proof
            work = "portal_next.question_at_work" if asks else "portal_next.at_work"
            yield say("portal_next.postponed" if request.postponed else work)
