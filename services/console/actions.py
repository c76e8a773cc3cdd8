"""Pages of actions, of approvals and of what is entered: every form is made from the registry or a body's schema."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import inbox
from services.console.console import Console, ConsoleContext, NavigationLink, StaffMember, person_of, spelled
from services.console.decision import Decision, decide
from services.console.form import fields_of, form_of, policy_choices, stated
from services.console.roles import WORDS, StaffPower
from services.intake.access.auth import Caller
from services.intake.actions import approvals, execution
from services.intake.actions import kind as offering
from services.intake.actions.action import TEXTS, Action, ActionContext, await_if_needed
from services.intake.actions.approvals import REQUESTS, Proposal
from services.intake.actions.correspondence import CONFIRM
from services.intake.actions.execution import Done, SeenVersion
from services.intake.actions.kind import ResourceKind, schema_of
from services.intake.actions.registry import KINDS
from services.intake.api.dependencies import Services
from services.intake.core.errors import Forbidden, NotFound
from services.intake.incidents import record
from services.intake.incidents.incident import IncidentFound
from services.intake.request.aggregate import Request
from services.intake.reviews.holds import HoldPlaced
from services.intake.submission.manual_entry import EnteredByHand, enter
from services.web.site import Handler, Visit
from shared.domain import reference
from shared.domain.holds import hold_policy

OWN_PAGE: Final = frozenset({REQUESTS, "incidents"})
"""Kinds whose things have a page each."""
_LISTS: Final = {
    "holds": "/holds",
    "systems": "/systems",
    "letters": "/post",
    "mail": "/mail",
    "recipient-digests": "/approvals",
}
"""The page that lists a kind; the others are listed among what is blocked."""


@dataclass(frozen=True, slots=True)
class New:
    """Something that staff enter; ``of``: its words, ``back``: the page that lists it."""

    path: str
    of: str
    about: str
    back: str
    body: type[BaseModel]
    do: Callable[[Services, Caller, Any], Awaitable[str]]


async def _request(services: Services, caller: Caller, body: EnteredByHand) -> str:
    stored = await enter(services.unit_of_work, services.submissions, body, caller)
    return f"/requests/{stored[0].request_id}"


async def _hold(services: Services, caller: Caller, body: HoldPlaced) -> str:
    async with services.unit_of_work.begin() as tx:
        await services.use_cases.holds.place(tx, body, caller)
    return "/holds"


async def _incident(services: Services, caller: Caller, body: IncidentFound) -> str:
    async with services.unit_of_work.begin() as tx:
        return f"/incidents/{(await record.enter(tx, body, caller)).incident_id}"


NEW_REQUEST: Final = New("/new", "requests/create", "A letter, a mail or a call", "/", EnteredByHand, _request)
NEW_HOLD: Final = New("/holds/place", "holds/create", "Data of a person that a case needs", "/holds", HoldPlaced, _hold)
NEW_INCIDENT: Final = New(
    "/incidents/new", "incidents/create", "An incident that was found elsewhere", "/incidents", IncidentFound, _incident
)


def routes(console: Console) -> list[BaseRoute]:
    """Returns a page for each thing that is entered, for each action, and for each approval."""
    pages = Actions(console.context)
    return [
        *(
            console.private(each.path, pages.entering(each), StaffPower.HANDLE, sends=True)
            for each in (NEW_REQUEST, NEW_HOLD, NEW_INCIDENT)
        ),
        console.private("/requests/{request_id:uuid}/decide/{action}", pages.act, StaffPower.SEE, sends=True),
        console.private("/approvals/{approval_id:uuid}/{word:str}", pages.decide, StaffPower.SEE, sends=True),
        *(
            console.private(f"/{kind.name}/{{key}}/{{action}}", pages.act_on(kind), StaffPower.SEE, sends=True)
            for kind in KINDS.values()
            if kind.name != REQUESTS
        ),
    ]


@dataclass(frozen=True)
class Actions:
    """The pages of actions."""

    context: ConsoleContext

    def entering(self, new: New) -> Handler:
        """Returns the page that enters something new."""

        async def page(visit: Visit) -> Response:
            choices = policy_choices(self.context)
            if new is NEW_HOLD:
                choices = {**choices, "reason": [*hold_policy().reasons.items()]}
            decision = Decision(
                title=TEXTS[new.of].title,
                about=new.about,
                back=new.back,
                effects=TEXTS[new.of].effects,
                do=lambda services, _, body: new.do(services, person_of(visit).caller, body),
                body=new.body,
                asks=fields_of(schema_of(new.body), choices),
            )
            return await decide(self.context, visit, decision)

        return page

    async def act(self, visit: Visit) -> Response:
        """Shows what an action on a request asks and will do; then it is done, or proposed."""
        request_id = visit.request.path_params["request_id"]
        request = await self.context.services.use_cases.read(request_id, person_of(visit).caller)
        return await self._act(visit, KINDS[REQUESTS], str(request.request_id), request)

    def act_on(self, kind: ResourceKind) -> Handler:
        """Returns the same page for another kind of thing."""

        async def act(visit: Visit) -> Response:
            return await self._act(visit, kind, str(visit.request.path_params["key"]))

        return act

    async def _act(self, visit: Visit, kind: ResourceKind, key: str, request: Request | None = None) -> Response:
        person, means = person_of(visit), self.context.services.use_cases
        action = kind.action(visit.request.path_params["action"], person.caller)
        _must(person, StaffPower(action.power))
        target, offered, reads = await offering.describe_offer(
            means, kind, key, action, person.caller, reading=not visit.sent
        )
        approves = person.may(StaffPower(action.approving))

        async def do(services: Services, version: str, said: BaseModel | None) -> Done | str:
            basis, body = SeenVersion(key, version, person.caller, kind.name), said or action.body()
            done = await execution.act(services.use_cases, kind, action, basis, body, approves=approves)
            return f"/requests/{done.requests[0]}" if done.requests else done

        decision = replace(
            _about(Decision(action.title, "", "", offered.effects, do), kind, target, request),
            body=action.body,
            asks=fields_of(offered.body_schema, policy_choices(self.context)),
            reads=reads,
            possible=offered.possible,
            irreversible=action.final,
        )
        if known := action.known(target):
            decision = replace(decision, known=form_of(self.context, known))
        if action is CONFIRM and not visit.sent:
            title, facts, filled = await inbox.proposed(self.context, visit)
            decision = replace(decision, about=title or decision.about, facts=facts, known=filled)
        return await decide(self.context, visit, decision)

    async def decide(self, visit: Visit) -> Response:
        """Shows what was proposed; then it is approved, or rejected."""
        person, means = person_of(visit), self.context.services.use_cases
        word, approval_id = visit.request.path_params["word"], visit.request.path_params["approval_id"]
        if word not in {"approve", "reject"}:
            raise NotFound("a proposal is approved or rejected")
        async with self.context.services.unit_of_work.pool.acquire() as connection:
            found = await approvals.read(connection, approval_id)
        kind = KINDS[found.kind]
        action = kind.actions[found.action]
        if found.proposed_by != person.holder or word == "approve":
            _must(person, StaffPower(action.approving))
        target, _, body, offered, reads = await execution.read(
            means, KINDS, approval_id, person.caller, noted=not visit.sent
        )
        take = execution.approve if word == "approve" else execution.reject

        async def do(services: Services, _: str, __: object) -> Done:
            return await take(services.use_cases, KINDS, approval_id, person.caller)

        title = f"{word.capitalize()}: {action.title.lower()}"
        effects = offered.effects if word == "approve" else ("Nothing of it is done.",)
        is_request = found.kind == REQUESTS
        request = await means.read(UUID(found.subject), person.caller) if is_request else None
        decision = replace(
            _about(Decision(title, "", "", effects, do), kind, target, request),
            reads=[("Proposed by", found.proposed_by), *stated(self.context, body), *reads],
            possible=found.state == "proposed",
            irreversible=action.final and word == "approve",
        )
        return await decide(self.context, visit, decision)


async def offered(
    context: ConsoleContext, kind: str, rows: Iterable[tuple[object, Any]], person: StaffMember
) -> list[list[NavigationLink]]:
    """Returns what the person can decide about each row of a list, proposals first; each row comes with its ID."""
    means, actions = context.services.use_cases, KINDS[kind].actions
    own = [each for each in actions.values() if person.may(StaffPower(each.power))]
    found = list[list[NavigationLink]]()
    async with means.unit_of_work.begin() as tx:
        proposed = defaultdict[str, list[NavigationLink]](list)
        for each in await approvals.waiting(tx.connection, kind):
            proposed[each.subject] += links(each, actions[each.action], person)
        for key, row in rows:
            target = ActionContext(tx, means, person.caller, str(key), row, "")
            possible = [each for each in own if await await_if_needed(each.may(target))]
            path = f"/{kind}/{key}"
            found.append(
                [*proposed[str(key)], *(NavigationLink(f"{path}/{each.name}", each.title) for each in possible)]
            )
    return found


def in_words(found: Proposal) -> str:
    """Returns what lists show of a proposal."""
    return ", ".join(spelled(each) for each in found.shown.values() if isinstance(each, str)) or "–"


def links(found: Proposal, action: Action, person: StaffMember) -> Sequence[NavigationLink]:
    """Returns what the person can decide about a proposal."""
    path = f"/approvals/{found.approval_id}"
    if found.proposed_by == person.holder:
        return [NavigationLink(f"{path}/reject", "Withdraw it")]
    if not person.may(StaffPower(action.approving)):
        return ()
    return [NavigationLink(f"{path}/approve", "Look, and approve"), NavigationLink(f"{path}/reject", "Reject")]


def _about(decision: Decision, kind: ResourceKind, target: ActionContext, request: Request | None) -> Decision:
    """Adds the thing that is decided about, and the page to return to."""
    if request is None:
        facts = [("State", spelled(kind.state_of(target)))]
        back = f"/{kind.name}/{target.key}" if kind.name in OWN_PAGE else _LISTS.get(kind.name, "/stopped")
        return replace(decision, about=kind.title_of(target), back=back, facts=facts, version=target.version)
    return replace(
        decision,
        about=f"{spelled(request.right)}, due {request.due_on}",
        back=f"/requests/{request.request_id}",
        facts=[("Request", reference.of(request.request_id)), ("State", spelled(request.state))],
        version=target.version,
        request_id=request.request_id,
    )


def _must(person: StaffMember, power: StaffPower) -> None:
    if not person.may(power):
        raise Forbidden(f"none of your roles ({', '.join(person.roles)}) may {WORDS[power]}")
