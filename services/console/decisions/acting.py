"""Pages of actions and of approvals: every form is made from the registry."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console import digests, inbox
from services.console.console import Console, Person, Works, local, person_of, spelled
from services.console.decisions.decision import Decision, Facts, Subject, saying
from services.console.decisions.generated import fields_of, form_of, stated
from services.console.decisions.page import About, DecisionPage
from services.console.ids import of_path
from services.console.lists import ROWS, Link, Row, Table, at_most, show
from services.console.roles import WORDS, Power
from services.intake.actions import approvals, performing
from services.intake.actions import kind as offering
from services.intake.actions.action import Action, Held, settled
from services.intake.actions.approvals import REQUESTS, Proposal
from services.intake.actions.correspondence import CONFIRM
from services.intake.actions.kind import Kind
from services.intake.actions.performing import Basis, Done
from services.intake.actions.registry import KINDS
from services.intake.api.recipients import silent
from services.intake.core.errors import Forbidden, NotFound
from services.intake.recipients import digests as recipient_digests
from services.intake.request.aggregate import Request
from services.web.site import Handler, Visit
from shared.domain import reference

_OWN: Final = frozenset({REQUESTS, "incidents"})
"""Kinds of which each thing has a page."""
_LISTS: Final = {
    "holds": "/holds",
    "systems": "/systems",
    "letters": "/post",
    "mail": "/mail",
    "recipient-digests": "/approvals",
}
"""The page that lists a kind; the others are listed among what has stopped."""


def routes(console: Console) -> list[BaseRoute]:
    """A page for each action about a request, the list of approvals, and a page for each of them."""
    pages = Actions(console.works)
    return [
        console.private("/requests/{request_id}/decide/{action}", pages.act, Power.SEE, sends=True),
        console.private("/approvals", pages.waiting, Power.SEE),
        console.private("/approvals/{approval_id}/{word:str}", pages.decide, Power.SEE, sends=True),
        *(
            console.private(f"/{kind.name}/{{key}}/{{action}}", pages.act_on(kind), Power.SEE, sends=True)
            for kind in KINDS.values()
            if kind.name != REQUESTS
        ),
    ]


@dataclass(frozen=True)
class Actions:
    """The pages of actions."""

    works: Works

    async def act(self, visit: Visit) -> Response:
        """What does an action about a request ask, and what will it do? Then it is done, or proposed."""
        request = await self.works.services.use_cases.read(of_path(visit), person_of(visit).caller)
        return await self._act(visit, KINDS[REQUESTS], str(request.request_id), request)

    def act_on(self, kind: Kind) -> Handler:
        """The same of another kind of thing."""

        async def act(visit: Visit) -> Response:
            return await self._act(visit, kind, str(visit.request.path_params["key"]))

        return act

    async def _act(self, visit: Visit, kind: Kind, key: str, request: Request | None = None) -> Response:
        person, means = person_of(visit), self.works.services.use_cases
        action = kind.action(visit.request.path_params["action"], person.caller)
        _must(person, Power(action.power))
        held, offered, reads = await offering.offer(means, kind, key, action, person.caller, reading=not visit.sent)
        approves = person.may(Power(action.approving))

        async def do(subject: Subject, version: str, said: BaseModel | None) -> Done | str:
            basis, body = Basis(key, version, person.caller, kind.name), said or action.body()
            means = subject.works.services.use_cases
            done = await performing.act(means, kind, action, basis, body, approves=approves)
            return f"/requests/{done.requests[0]}" if done.requests else done

        decision = Decision(
            name=action.name,
            title=action.title,
            power=Power(action.power),
            when=lambda _: offered.possible,
            does=saying(*offered.effects),
            body=action.body,
            asks=fields_of(offered.body_schema),
            do=do,
            reads=_shown(reads),
            irreversible=action.final,
        )
        about, known = self._about(person, kind, held, request), action.known(held)
        about = replace(about, known=form_of(self.works, known)) if known else about
        if action is CONFIRM and not visit.sent:
            about = await inbox.proposed(self.works, visit, about)
        return await _page(visit, decision, about)

    async def waiting(self, visit: Visit) -> Response:
        """What waits for a second person?"""
        person, services = person_of(visit), self.works.services
        async with services.unit_of_work.pool.acquire() as connection:
            found = await approvals.waiting(connection, limit=ROWS)
        standing = await performing.waiting(services.use_cases, KINDS, person.caller, found)
        rows = [self._row(each, person, due) for each, due in sorted(standing, key=lambda each: str(each[1] or "~"))]
        proposed = Table(
            "Proposed by one person",
            at_most("Nothing of it is done before a second person approves.", found, ROWS),
            ("What", "Of it", "Proposed by", "Due", "Decide"),
            rows,
            "Nothing waits for a second person.",
        )
        told = await self._unanswered(person)
        return show(visit, "Approvals", [proposed, told])

    async def _unanswered(self, person: Person) -> Table:
        services = self.works.services
        async with services.unit_of_work.pool.acquire() as connection:
            found = await recipient_digests.unanswered(connection, silent(services), ROWS)
        links = await offered(self.works, "recipient-digests", ((each.digest_id, each) for each in found), person)
        return digests.table(self.works, person, found, links)

    async def decide(self, visit: Visit) -> Response:
        """What was proposed, in its own words? Then it is approved, or rejected."""
        person, means = person_of(visit), self.works.services.use_cases
        word, approval_id = visit.request.path_params["word"], of_path(visit, "approval_id")
        if word not in {"approve", "reject"}:
            raise NotFound("a proposal is approved or rejected")
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = await approvals.read(connection, approval_id)
        kind = KINDS[found.kind]
        action = kind.actions[found.action]
        if found.proposed_by != person.holder or word == "approve":
            _must(person, Power(action.approving))
        held, _, said, possible, reads = await performing.read(
            means, KINDS, approval_id, person.caller, noted=not visit.sent
        )
        take = performing.approve if word == "approve" else performing.reject

        async def do(subject: Subject, _: str, __: object) -> Done:
            return await take(subject.works.services.use_cases, KINDS, approval_id, person.caller)

        facts = [("Proposed by", found.proposed_by), *stated(self.works, said), *reads]
        decision = Decision(
            name=word,
            title=f"{word.capitalize()}: {action.title.lower()}",
            power=Power(action.approving),
            when=lambda _: found.state == "proposed",
            does=saying(*(possible.effects if word == "approve" else ("Nothing of it is done.",))),
            do=do,
            reads=_shown(facts),
            irreversible=action.final and word == "approve",
        )
        is_request = found.kind == REQUESTS
        request = await means.read(UUID(found.subject), person.caller) if is_request else None
        return await _page(visit, decision, self._about(person, kind, held, request))

    def _about(self, person: Person, kind: Kind, held: Held, request: Request | None) -> About:
        if request is None:
            facts = [("State", spelled(kind.stands(held)))]
            back = f"/{kind.name}/{held.key}" if kind.name in _OWN else _LISTS.get(kind.name, "/stopped")
            return About(Subject(self.works, person, row=held.row), kind.titled(held), back, facts, held.version)
        title = f"{spelled(request.right)}, due {request.due_on}"
        facts = [("Request", reference.of(request.request_id)), ("State", spelled(request.state))]
        back = f"/requests/{request.request_id}"
        return About(Subject(self.works, person, request), title, back, facts, held.version)

    def _row(self, found: Proposal, person: Person, due: date | datetime | None) -> Row:
        action = KINDS[found.kind].actions[found.action]
        named = Link(f"/{found.kind}/{found.subject}", action.title) if found.kind in _OWN else action.title
        by = "you" if found.proposed_by == person.holder else found.proposed_by
        until = local(self.works, due) if isinstance(due, datetime) else str(due or "–")
        return Row((named, in_words(found), by, until), [*links(found, action, person)])


async def offered(works: Works, kind: str, rows: Iterable[tuple[object, Any]], person: Person) -> list[list[Link]]:
    """What the person who has signed in can decide about each row of a list, proposals first; each row with its id."""
    means, actions = works.services.use_cases, KINDS[kind].actions
    mine = [each for each in actions.values() if person.may(Power(each.power))]
    found = list[list[Link]]()
    async with means.unit_of_work.begin() as tx:
        proposed = defaultdict[str, list[Link]](list)
        for each in await approvals.waiting(tx.connection, kind):
            proposed[each.subject] += links(each, actions[each.action], person)
        for key, row in rows:
            held = Held(tx, means, person.caller, str(key), row, "")
            possible = [each for each in mine if await settled(each.may(held))]
            path = f"/{kind}/{key}"
            found.append([*proposed[str(key)], *(Link(f"{path}/{each.name}", each.title) for each in possible)])
    return found


def in_words(found: Proposal) -> str:
    """What lists show of a proposal."""
    return ", ".join(spelled(each) for each in found.shown.values() if isinstance(each, str)) or "–"


def links(found: Proposal, action: Action, person: Person) -> Sequence[Link]:
    """What somebody who has signed in can decide about it."""
    path = f"/approvals/{found.approval_id}"
    if found.proposed_by == person.holder:
        return [Link(f"{path}/reject", "Withdraw it")]
    if not person.may(Power(action.approving)):
        return ()
    return [Link(f"{path}/approve", "Look, and approve"), Link(f"{path}/reject", "Reject")]


def _must(person: Person, power: Power) -> None:
    if not person.may(power):
        raise Forbidden(f"none of your roles ({', '.join(person.roles)}) may {WORDS[power]}")


def _shown(facts: Sequence[tuple[str, str]]) -> Facts:
    async def shown(_: Subject) -> Sequence[tuple[str, str]]:
        return facts

    return shown


async def _page(visit: Visit, decision: Decision, about: About) -> Response:
    async def find(_: Visit) -> About:
        return about

    return await DecisionPage(decision, find)(visit)
