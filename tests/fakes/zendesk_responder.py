"""A help desk that behaves as Zendesk Support's public documentation says, including its oddities.

The search index lags, deletion is first soft and reversible, jobs delete tickets, and lists move while they are read.
Merged users answer 404 under their old ID, and calls are refused when busy.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shared.domain.clock import Clock

Record = dict[str, Any]
PAGE = 100


@dataclass
class HelpDesk:
    """Users and tickets; ``lag``: how far the search is behind; ``busy``: how the next calls are refused.

    ``others``: a further address of a user, by which they are found and which no search shows.
    """

    clock: Clock
    lag: timedelta = timedelta()
    lies: bool = False
    job_states: list[str] = field(default_factory=lambda: ["completed"])
    busy: list[Response] = field(default_factory=list)
    users: dict[int, Record] = field(default_factory=dict)
    tickets: dict[int, Record] = field(default_factory=dict)
    others: dict[int, str] = field(default_factory=dict)
    gone: dict[int, datetime] = field(default_factory=dict)
    soft_users: dict[int, Record] = field(default_factory=dict)
    soft_tickets: dict[int, Record] = field(default_factory=dict)
    indexed: list[tuple[Any, int, Record]] = field(default_factory=list)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    ids: "count[int]" = field(default_factory=lambda: count(1001))

    def add_user(self, email: str, **more: Any) -> int:
        """A new user, whom the search shows once its index has caught up."""
        number = next(self.ids)
        user = {"id": number, "email": email, "name": "Some User", "phone": None, "notes": "", "active": True}
        self.users[number] = {**user, "role": "end-user", "created_at": "2026-01-05T09:00:00Z", **more}
        self.indexed.append((self.clock.now() + self.lag, number, self.users[number]))
        return number

    def add_ticket(self, requester: int, status: str = "closed") -> int:
        """A new ticket of a user."""
        number = next(self.ids)
        ticket = {"id": number, "requester_id": requester, "subject": "No sound", "description": "since Monday"}
        self.tickets[number] = {**ticket, "status": status, "created_at": "2026-02-05T09:00:00Z"}
        return number

    def search(self, query: str) -> list[Record]:
        """Searches words or quoted text in the index, which still has users deleted a moment ago."""
        wanted = query.removeprefix("email:").lower()
        now = self.clock.now()
        for number in [n for n in self.users if n not in {i for _, i, _ in self.indexed}]:
            self.indexed.append((now, number, self.users[number]))
        for number in {n for _, n, _ in self.indexed} - self.users.keys():
            self.gone.setdefault(number, now)
        gone = {n for n, since in self.gone.items() if n not in self.users and since + self.lag <= now}
        shown = [r for since, n, r in self.indexed if since <= now and n not in gone]
        return [r for r in shown if any(_fits(wanted, each) for each in (r["email"], self.others.get(r["id"], "")))]

    def restore(self, number: int) -> None:
        """Restores a softly deleted user."""
        self.users[number] = self.soft_users.pop(number)

    def merge(self, loser: int, winner: int) -> None:
        """Moves the address to the winner and drops the old ID."""
        self.users[winner]["email"] = self.users.pop(loser)["email"]


def _fits(wanted: str, address: str) -> bool:
    if wanted.startswith('"'):
        return bool(wanted.strip('"') == address.lower())
    return set(wanted.replace("@", " ").split()) <= set(address.lower().replace("@", " ").split())


def application(desk: HelpDesk) -> FastAPI:  # noqa: C901  # one route after the other
    """The HTTP side."""
    app = FastAPI()

    @app.middleware("http")
    async def counted(request: Request, call_next: Any) -> Response:
        desk.calls.append(f"{request.method} {request.url.path.removeprefix('/api/v2')}")
        if not request.headers.get("authorization", "").startswith("Basic "):
            return JSONResponse({"error": "Couldn't authenticate you"}, 401)
        if desk.busy:
            return desk.busy.pop(0)
        answer: Response = await call_next(request)
        return answer

    @app.get("/api/v2/users/me")
    def me() -> Record:
        return {"user": {"id": 1, "role": "admin"}}

    @app.get("/api/v2/users/search")
    def search(query: str, page: int = 1) -> Record:
        found = desk.search(query)
        part = found[(page - 1) * PAGE : page * PAGE]
        more = f"https://elsewhere.example/api/v2/users/search?query={query}&page={page + 1}"
        return {"users": part, "next_page": more if len(found) > page * PAGE else None}

    @app.get("/api/v2/users/{number}")
    def user(number: int) -> Response:
        if number in desk.soft_users:
            return JSONResponse({"user": {**desk.soft_users[number], "active": False}})
        return JSONResponse({"user": desk.users[number]}) if number in desk.users else Response(status_code=404)

    @app.put("/api/v2/users/{number}")
    async def change(number: int, request: Request) -> Record:
        if not desk.lies:
            desk.users[number] |= (await request.json())["user"]
        return {"user": desk.users[number]}

    @app.delete("/api/v2/users/{number}")
    def soft(number: int) -> Response:
        if number not in desk.users:
            return Response(status_code=404)
        if not desk.lies:
            desk.soft_users[number] = desk.users.pop(number)
        return JSONResponse({"user": {"id": number, "active": False}})

    @app.get("/api/v2/deleted_users/{number}")
    def shown(number: int) -> Response:
        found = desk.soft_users.get(number)
        return JSONResponse({"deleted_user": found}) if found else Response(status_code=404)

    @app.delete("/api/v2/deleted_users/{number}")
    def hard(number: int) -> Response:
        return JSONResponse({}) if desk.soft_users.pop(number, None) else Response(status_code=404)

    @app.get("/api/v2/users/{number}/tickets/requested")
    def requested(number: int, request: Request) -> Response:
        if number not in desk.users:
            return Response(status_code=404)
        size, after = int(request.query_params["page[size]"]), int(request.query_params.get("page[after]", 0))
        theirs = [t for t in desk.tickets.values() if t["requester_id"] == number and t["id"] > after]
        part = theirs[:size]
        more = len(theirs) > size
        here = f"/api/v2/users/{number}/tickets/requested?page[size]={size}"
        link = f"https://help.example{here}&page[after]={part[-1]['id']}" if more else None
        return JSONResponse({"tickets": part, "links": {"next": link}, "meta": {"has_more": more}})

    @app.delete("/api/v2/tickets/destroy_many")
    def bulk(ids: str) -> Response:
        for number in map(int, ids.split(",")):
            if number in desk.tickets:
                desk.soft_tickets[number] = desk.tickets.pop(number)
        return begun()

    @app.delete("/api/v2/deleted_tickets/destroy_many")
    def bulk_for_good(ids: str) -> Response:
        for number in map(int, ids.split(",")):
            desk.soft_tickets.pop(number, None)
        return begun()

    def begun() -> Response:
        name = f"job-{next(desk.ids)}"
        desk.jobs[name] = [*desk.job_states]
        return JSONResponse({"job_status": {"id": name, "status": "queued"}})

    @app.get("/api/v2/job_statuses/{name}")
    def job(name: str) -> Record:
        states = desk.jobs[name]
        return {"job_status": {"id": name, "status": states.pop(0) if len(states) > 1 else states[0]}}

    @app.get("/api/v2/tickets/show_many")
    def many(ids: str) -> Record:
        return {"tickets": [desk.tickets[n] for n in map(int, ids.split(",")) if n in desk.tickets]}

    @app.get("/api/v2/deleted_tickets/{number}")
    def deleted_ticket(number: int) -> Response:
        found = desk.soft_tickets.get(number)
        return JSONResponse({"ticket": found}) if found else Response(status_code=404)

    return app
