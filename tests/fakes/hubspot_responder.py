"""A CRM that behaves as HubSpot's public documentation says, including its oddities.

The search lags. An unknown address given to its erasure is blocklisted. Pages of activities move while they are
deleted. Calls beyond the limit are refused without a time to retry.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shared.domain.clock import Clock

Record = dict[str, Any]
_UNSAID = {"phone": None, "hs_email_optout": "false"}


@dataclass
class Crm:
    """Contacts and activities; ``lag``: how far the search is behind."""

    clock: Clock
    lag: timedelta = timedelta()
    contacts: dict[str, Record] = field(default_factory=dict)
    activities: dict[int, Record] = field(default_factory=dict)
    changed: list[tuple[datetime, dict[str, Record]]] = field(default_factory=list)
    blocklist: list[str] = field(default_factory=list)
    busy: list[Response] = field(default_factory=list)
    ids: "count[int]" = field(default_factory=lambda: count(501))

    def add_contact(self, email: str, **properties: str) -> str:
        """A new contact."""
        number = str(next(self.ids))
        self.contacts[number] = {
            "id": number,
            "properties": {"email": email, "hs_additional_emails": None, **_UNSAID, **properties},
            "createdAt": "2026-01-05T09:00:00Z",
            "updatedAt": "2026-01-05T09:00:00Z",
            "archived": False,
        }
        self.noted()
        return number

    def add_activity(self, contact: str) -> int:
        """A call or note on a contact's timeline."""
        number = next(self.ids)
        said = {"engagement": {"id": number, "type": "NOTE"}, "associations": {"contactId": contact}}
        self.activities[number] = {**said, "metadata": {"body": "wants a refund"}}
        return number

    def noted(self) -> None:
        """The index will show what is there now, once it has caught up."""
        self.changed.append((self.clock.now() + self.lag, {n: dict(c) for n, c in self.contacts.items()}))

    def merge(self, loser: str, winner: str) -> None:
        """Makes the loser's address a further one of the winner, and drops its ID."""
        gone = self.contacts.pop(loser)["properties"]["email"]
        properties = {**self.contacts[winner]["properties"], "hs_additional_emails": gone}
        self.contacts[winner] = {**self.contacts[winner], "properties": properties}
        self.noted()

    def search(self, groups: list[Record]) -> list[Record]:
        """As the index has it: whom all filters of one group fit."""
        shown = [contacts for since, contacts in self.changed if since <= self.clock.now()]
        contacts = (shown[-1] if shown else {}).values()
        return [c for c in contacts if any(all(_fits(c, f) for f in group["filters"]) for group in groups)]


def _page(found: list[Record], after: int, limit: int) -> Record:
    part = found[after : after + limit]
    more = {"paging": {"next": {"after": str(after + len(part))}}} if len(found) > after + len(part) else {}
    return {"results": part, **more}


def _fits(contact: Record, asked: Record) -> bool:
    value, wanted = (contact["properties"][asked["propertyName"]] or "").lower(), asked["value"].lower()
    return wanted in value.split(";") if asked["operator"] == "CONTAINS_TOKEN" else bool(wanted == value)


def application(crm: Crm) -> FastAPI:  # noqa: C901  # one route after the other
    """The HTTP side."""
    app = FastAPI()

    @app.middleware("http")
    async def let_in(request: Request, call_next: Any) -> Response:
        if request.headers.get("authorization") != "Bearer secret":
            return JSONResponse({"status": "error", "category": "INVALID_AUTHENTICATION"}, 401)
        if crm.busy:
            return crm.busy.pop(0)
        answer: Response = await call_next(request)
        return answer

    @app.get("/account-info/v3/details")
    def details() -> Record:
        return {"portalId": 1}

    @app.post("/crm/v3/objects/contacts/search")
    async def search(request: Request) -> Record:
        body = await request.json()
        found = crm.search(body["filterGroups"])
        return {"total": len(found), **_page(found, int(body.get("after", 0)), body["limit"])}

    @app.get("/crm/v3/objects/contacts")
    async def contacts(limit: int, after: int = 0) -> Record:
        return _page([*crm.contacts.values()], after, limit)

    @app.post("/crm/v3/objects/contacts/gdpr-delete")
    async def purge(request: Request) -> Response:
        said = await request.json()
        if said.get("idProperty") == "email":
            crm.blocklist.append(said["objectId"])
            return Response(status_code=204)
        if crm.contacts.pop(said["objectId"], None) is None:
            return Response(status_code=404)
        crm.noted()
        return Response(status_code=204)

    @app.get("/crm/v3/objects/contacts/{number}")
    def contact(number: str) -> Response:
        return JSONResponse(crm.contacts[number]) if number in crm.contacts else Response(status_code=404)

    @app.patch("/crm/v3/objects/contacts/{number}")
    async def change(number: str, request: Request) -> Response:
        crm.contacts[number]["properties"] |= (await request.json())["properties"]
        crm.noted()
        return JSONResponse(crm.contacts[number])

    @app.get("/engagements/v1/engagements/associated/contact/{number}/paged")
    def timeline(number: str, limit: int, offset: int = 0) -> Response:
        if number not in crm.contacts:
            return Response(status_code=404)
        theirs = [a for a in crm.activities.values() if a["associations"]["contactId"] == number]
        part = theirs[offset : offset + limit]  # by place: what is deleted meanwhile moves all that follows
        more = len(theirs) > offset + len(part)
        return JSONResponse({"results": part, "hasMore": more, "offset": offset + len(part)})

    @app.get("/engagements/v1/engagements/{number}")
    def activity(number: int) -> Response:
        return JSONResponse(crm.activities[number]) if number in crm.activities else Response(status_code=404)

    @app.delete("/engagements/v1/engagements/{number}")
    def delete(number: int) -> Response:
        return Response(status_code=204 if crm.activities.pop(number, None) else 404)

    return app
