"""A payment service that behaves as Stripe's public documentation says, including its oddities.

Nothing is deleted: a redaction job validates, waits for a run call, and blanks. Only one job may touch an object at a
time. Lists are case-sensitive, the search lags, and new states of a job appear without notice.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shared.domain.clock import Clock

Record = dict[str, Any]
REDACTED = "[redacted]"
BEFORE_READY = ("created", "validating")
MOST = 10


@dataclass
class Payments:
    """Customers, charges and redaction jobs; ``states``: what a job says before it is ready."""

    clock: Clock
    states: tuple[str, ...] = BEFORE_READY
    end: str = "succeeded"
    locked: int = 0
    customers: dict[str, Record] = field(default_factory=dict)
    charges: dict[str, Record] = field(default_factory=dict)
    jobs: dict[str, Record] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    lag: timedelta = timedelta(minutes=1)
    ids: Any = field(default_factory=lambda: count(1))

    def add_customer(self, email: str) -> str:
        """A new customer."""
        name = f"cus_{next(self.ids)}"
        customer = {"id": name, "object": "customer", "email": email, "name": "Some Customer", "phone": None}
        self.customers[name] = {**customer, "address": None, "created": self.clock.now().timestamp(), "livemode": True}
        return name

    def add_charge(self, customer: str, *, disputed: bool = False) -> str:
        """Money that a customer has paid."""
        name = f"ch_{next(self.ids)}"
        charge = {"id": name, "object": "charge", "customer": customer, "amount": 4900, "currency": "eur"}
        more = {"created": 1767600000, "description": None, "disputed": disputed}
        self.charges[name] = {**charge, **more, "billing_details": {"email": self.customers[customer]["email"]}}
        return name

    def redact(self, job: Record) -> None:
        for name in job["objects"]:
            if name in self.customers:
                self.customers[name] |= {"email": REDACTED, "name": REDACTED}
            if name in self.charges:
                self.charges[name]["billing_details"] = {"email": REDACTED}


def application(payments: Payments) -> FastAPI:  # noqa: C901  # one route after the other
    """The HTTP side."""
    app = FastAPI()

    @app.middleware("http")
    async def let_in(request: Request, call_next: Any) -> Response:
        if request.headers.get("authorization") != "Bearer secret":
            return JSONResponse({"error": {"type": "invalid_request_error"}}, 401)
        answer: Response = await call_next(request)
        return answer

    def paged(found: list[Record], limit: int, after: str | None) -> Record:
        names = [each["id"] for each in found]
        start = names.index(after) + 1 if after else 0
        return {"object": "list", "data": found[start : start + limit], "has_more": len(found) > start + limit}

    @app.get("/v1/balance")
    def balance() -> Record:
        return {"object": "balance"}

    @app.get("/v1/customers")
    def listed(email: str, limit: int, starting_after: str | None = None) -> Record:
        return paged([c for c in payments.customers.values() if c["email"] == email], limit, starting_after)

    @app.get("/v1/customers/search")
    def search(query: str, limit: int) -> Record:
        email = query.removeprefix('email:"').removesuffix('"').lower()
        until = (payments.clock.now() - payments.lag).timestamp()
        found = [c for c in payments.customers.values() if c["email"].lower() == email and c["created"] <= until]
        return {"object": "search_result", "data": found[:limit], "has_more": False, "next_page": None}

    @app.get("/v1/customers/{name}")
    def customer(name: str) -> Record:
        return payments.customers[name]

    @app.get("/v1/charges")
    def charged(customer: str, limit: int, starting_after: str | None = None) -> Record:
        theirs = [c for c in payments.charges.values() if c["customer"] == customer]
        return paged(theirs, limit, starting_after)

    @app.get("/v1/charges/{name}")
    def charge(name: str) -> Record:
        return payments.charges[name]

    @app.post("/v1/privacy/redaction_jobs")
    async def begin(request: Request) -> Response:
        form = parse_qs((await request.body()).decode())
        objects = [*form.get("objects[customers][]", []), *form.get("objects[charges][]", [])]
        if payments.locked:
            payments.locked -= 1
            return JSONResponse({"error": {"code": "locked_by_other_job"}}, 400)
        if len(objects) > MOST:
            return JSONResponse({"error": {"code": "too_many_objects"}}, 400)
        key = request.headers.get("idempotency-key", "")
        name = payments.keys.setdefault(key, f"prj_{next(payments.ids)}")
        job = {"id": name, "objects": objects, "states": [*payments.states, "ready"]}
        return JSONResponse({"id": name, "status": payments.jobs.setdefault(name, job)["states"][0]})

    @app.get("/v1/privacy/redaction_jobs/{name}")
    def job(name: str) -> Record:
        states = payments.jobs[name]["states"]
        state = states.pop(0) if len(states) > 1 else states[0]
        if state == "redacting":
            payments.redact(payments.jobs[name])
        return {"id": name, "status": state}

    @app.post("/v1/privacy/redaction_jobs/{name}/run")
    def run(name: str) -> Record:
        payments.jobs[name]["states"] = ["redacting", payments.end]
        return {"id": name, "status": "redacting"}

    return app
