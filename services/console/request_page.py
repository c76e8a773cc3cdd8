"""The page of a request: status, actions, systems, letters and evidence; each look is on record."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from pydantic import JsonValue
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.actions import in_words, links
from services.console.console import Console, ConsoleContext, StaffMember, person_of
from services.console.decision import CLOSED, opened
from services.console.form import LANGUAGES
from services.console.roles import ROLES, StaffPower
from services.intake.access.auth import PERSON, READ_ACTIONS
from services.intake.actions import approvals, execution
from services.intake.actions import kind as offering
from services.intake.actions.approvals import REQUESTS
from services.intake.actions.identity import WHY
from services.intake.actions.registry import KINDS
from services.intake.actions.use_cases import visible
from services.intake.api import downloads, views
from services.intake.api.views import RequestView
from services.intake.core.errors import Forbidden
from services.intake.letters import delivery_queue
from services.intake.mail import inbox
from services.intake.packages import releases
from services.intake.queries import plans, request_file
from services.intake.queries.request_file import ListedLetter
from services.intake.request.aggregate import Request
from services.intake.request.erasure_preview import planned
from services.intake.request.lifecycle import State
from services.intake.store.repository import read
from services.web.site import Visit
from shared.domain.release import ReleaseFault
from shared.storage import evidence

_MAILS: Final = 20
_STEPS: Final = ("Received", "Identity", "Work", "Answer", "Closed")
_STEP: Final = {
    State.AWAITING_IDENTITY: 1,
    State.AWAITING_CLARIFICATION: 2,
    State.IN_PROGRESS: 2,
    State.AWAITING_DECISION: 2,
    State.CLOSED: 3,
}
"""Which step is the current one."""


def routes(console: Console) -> list[BaseRoute]:
    """The pages of one request that show and do not decide."""
    page = RequestPage(console.context)
    return [
        console.private("/requests/{request_id:uuid}", page.story, StaffPower.SEE, sends=True),
        console.private("/requests/{request_id:uuid}/plan", page.plan, StaffPower.SEE),
        console.private("/requests/{request_id:uuid}/letters", page.letters, StaffPower.READ),
        console.private("/requests/{request_id:uuid}/package", page.package, StaffPower.READ, sends=True),
        console.private("/requests/{request_id:uuid}/case-file", page.case_file, StaffPower.AUDIT),
    ]


@dataclass(frozen=True)
class RequestPage:
    """The pages of one request."""

    context: ConsoleContext

    async def story(self, visit: Visit) -> Response:
        """Shows the request; a button opens the case sheet."""
        person, request = await self._seen(visit)
        view = await self._view(request)
        failures = self.context.services.use_cases.identity.links.failures
        async with self.context.services.unit_of_work.pool.acquire() as connection:
            kept = await request_file.read(connection, request.request_id, failures)
            proposed = await approvals.waiting(connection, REQUESTS, str(request.request_id))
            entries = await evidence.entries(connection, request.request_id)
            mails = await inbox.of_request(connection, request.request_id, _MAILS)
            for each in mails:
                entries += await evidence.entries(connection, each.mail_id)
        shown = [_entry(each) for each in sorted(entries, key=itemgetter("at"))]
        policy = self.context.services.unit_of_work.policy
        traces, trace = self.context.settings.traces, next((each["trace"] for each in shown if each["trace"]), None)
        means, key, kind = self.context.services.use_cases, str(request.request_id), KINDS[REQUESTS]
        _, decisions = await offering.possible_actions(means, kind, key, person.caller)
        waiting = await execution.waiting(means, KINDS, person.caller, proposed)
        sheet = await opened(self.context, person, request.request_id) if visit.sent else CLOSED
        return visit.page(
            "request.html",
            **sheet,
            request=request,
            path=path(request),
            view=view,
            letters=kept.letters,
            undelivered=[*_undelivered(kept.letters)],
            recipients=[each.shown(policy) for each in kept.notices],
            holds=kept.holds,
            stopped=[WHY[each] for each in kept.stopped],
            mails=mails,
            pending=[
                (each, action.title, in_words(each), links(each, action, person))
                for each, _ in waiting
                for action in [kind.actions[each.action]]
            ],
            done=[each for each in shown if not each["action"].endswith(READ_ACTIONS)],
            looked=[each for each in shown if each["action"].endswith(READ_ACTIONS)],
            trace=traces.replace("{trace}", trace) if traces and trace else None,
            decisions=[each for each in decisions if person.may(StaffPower(each.needs))],
            others=[
                (each.title, _roles(StaffPower(each.needs)))
                for each in decisions
                if not person.may(StaffPower(each.needs))
            ],
            noted=visit.session.data.pop("noted", None),
            languages=LANGUAGES,
        )

    async def plan(self, visit: Visit) -> Response:
        """Shows what the erasure would do; the systems are only searched."""
        person = person_of(visit)
        async with self.context.services.unit_of_work.begin() as tx:
            request_id = _id(visit)
            request = await visible(tx.connection, await read(tx.connection, request_id), person.caller)
            plan = await plans.request_preview(tx, request, person.caller)
        systems = planned(plan.tasks, self.context.services.processing) if plan.made_at else []
        return visit.page("plan.html", request=request, plan=plan, systems=systems)

    async def letters(self, visit: Visit) -> Response:
        """Shows the letters; the reading is on record."""
        person, use_cases = person_of(visit), self.context.services.use_cases
        request = await use_cases.read(_id(visit), person.caller)
        written = await use_cases.read_letters(request.request_id, person.caller, None)
        return visit.page("letters_read.html", request=request, letters=written)

    async def package(self, visit: Visit) -> Response:
        """Shows why a package is withheld, and hands it out for a check by a form; each look is on record."""
        services, person = self.context.services, person_of(visit)
        if visit.sent:
            link = await downloads.begin(_id(visit), "inspection", person.caller, services)
            return await downloads.fetched(link.download_id, person.caller, services)
        request = await services.use_cases.read(_id(visit), person.caller)
        request.must_be_withheld()
        async with services.unit_of_work.pool.acquire() as connection:
            looks = (await releases.inspectors(connection, request)).items()
        return visit.page(
            "package.html", request=request, why=ReleaseFault(str(request.package_fault)).sentence, looks=looks
        )

    async def case_file(self, visit: Visit) -> Response:
        """Exports the case as a ZIP; the export is on record. Raises ``Forbidden`` for a link on another site."""
        if visit.request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            raise Forbidden("another site has led here: open the request in the console, and take its file there")
        return await downloads.exported(_id(visit), person_of(visit).caller, self.context.services)

    async def _seen(self, visit: Visit) -> tuple[StaffMember, Request]:
        person = person_of(visit)
        async with self.context.services.unit_of_work.begin() as tx:
            request_id = _id(visit)
            request = await visible(tx.connection, await read(tx.connection, request_id), person.caller)
            tx.log_evidence(request_id, "request.viewed", {"holder": person.holder}, person.caller.actor)
        return person, request

    async def _view(self, request: Request) -> RequestView:
        """Returns the request as the API shows it to an officer."""
        use_cases = self.context.services.use_cases
        awaited, case = await use_cases.awaited(request), await use_cases.case_of(request)
        today = self.context.services.unit_of_work.clock.now().date()
        repeated = await use_cases.repeated(request)
        return views.view(request, today, use_cases.letters, awaited, case, repeated, officer=True)


def path(request: Request) -> Sequence[tuple[str, bool, bool]]:
    """Returns the steps of a request: the word, whether it is done, and whether it is the current one; pure."""
    now = len(_STEPS) if request.state is State.CLOSED and not request.unfinished else _STEP[request.state]
    return [(word, place < now, place == now) for place, word in enumerate(_STEPS)]


def _undelivered(letters: Iterable[ListedLetter]) -> Iterator[tuple[ListedLetter, Sequence[str]]]:
    """Yields each letter that is not delivered, with its status and what that means."""
    for each in letters:
        state = each.state or ""
        if means := [*delivery_queue.pending_effects(state, each.on_delivery)]:
            yield each, (delivery_queue.describe_state(each.kind, state, each.fault), *means)


def _roles(power: StaffPower) -> str:
    """Names the roles that have that power."""
    return " or ".join(role for role, powers in ROLES.items() if power in powers)


def _id(visit: Visit) -> UUID:
    request_id: UUID = visit.request.path_params["request_id"]
    return request_id


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    detail = orjson.loads(row["detail"])
    known = {"at": row["at"], "by": _by(row["actor"], row["chain"]), "action": row["action"]}
    said = [(name.replace("_", " "), _said(value)) for name, value in detail.items() if value not in (None, "", [], {})]
    return {**known, "said": said, "trace": detail.get("trace")}


def _by(actor: str, service: str) -> str:
    """Names the account of a person, a key, or a service."""
    kind, _, name = actor.partition(":")
    if kind == "service":
        return name if name == service else f"{name} ({service})"
    return actor.removeprefix(PERSON) if actor.startswith(PERSON) else f"key {actor.removeprefix('key:')}"


def _said(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_said(each) for each in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_said(each)}" for name, each in value.items())
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
