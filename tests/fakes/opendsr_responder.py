"""A mailing system that answers OpenDSR 2.0: an example for any third party that wants to be asked this way.

``python -m tests.fakes.opendsr_responder 8400`` serves it on that port of 127.0.0.1, with a few invented subscribers.
"""

import sys
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import orjson
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import AwareDatetime, BaseModel

from shared.domain.clock import Clock, SystemClock

Row = dict[str, str]
Sign = Callable[[bytes], bytes]


class SubjectIdentity(BaseModel):
    """One identity of the subject; hashed formats are not taken here."""

    identity_type: Literal["email"]
    identity_value: str
    identity_format: Literal["raw"]


class DsrRequest(BaseModel):
    """A controller's request (OpenDSR 2.0, section 7)."""

    regulation: Literal["gdpr", "ccpa"]
    subject_request_id: UUID
    subject_request_type: Literal["access", "erasure"]
    submitted_time: AwareDatetime
    subject_identities: list[SubjectIdentity]


@dataclass
class Taken:
    """A request that was taken, when, and what was found once it was worked."""

    request: DsrRequest
    received: datetime
    found: list[Row] | None = None


class MailingSystem:
    """Holds subscriptions by e-mail address; takes each request once, and works it immediately or when asked to."""

    def __init__(self, rows: list[Row], clock: Clock, *, immediate: bool = True) -> None:
        self.rows, self.taken = rows, dict[UUID, Taken]()
        self.clock, self._immediate = clock, immediate

    def take(self, request: DsrRequest) -> Taken:
        """A repeat of an id gets the first answer and has no second effect."""
        taken = self.taken.setdefault(request.subject_request_id, Taken(request, self.clock.now()))
        if self._immediate:
            self.work()
        return taken

    def work(self) -> None:
        """Do what was taken and is not done yet."""
        for taken in (each for each in self.taken.values() if each.found is None):
            emails = {identity.identity_value for identity in taken.request.subject_identities}
            taken.found = [row for row in self.rows if row["email"].lower() in emails]
            if taken.request.subject_request_type == "erasure":
                self.erase(taken.found)

    def erase(self, found: list[Row]) -> None:
        """Delete what was found, and nothing else."""
        self.rows = [row for row in self.rows if row not in found]


def application(system: MailingSystem, *, domain: str = "mailing.example", sign: Sign | None = None) -> FastAPI:
    """The HTTP side; ``sign`` signs a body with the private key of the domain's certificate (RSA or ECDSA, SHA-256)."""
    app = FastAPI(title="Mailing system")

    def answer(taken: Taken, status_code: int, more: dict[str, object]) -> Response:
        ours = {"controller_id": "us", "expected_completion_time": taken.received + timedelta(days=1)}
        return signed({**ours, "subject_request_id": taken.request.subject_request_id, **more}, status_code)

    def signed(said: dict[str, object], status_code: int = 200) -> Response:
        body = orjson.dumps(said)
        signature = {} if sign is None else {"X-OpenDSR-Signature": b64encode(sign(body)).decode()}
        headers = {"X-OpenDSR-Processor-Domain": domain, **signature}
        return Response(body, status_code, headers, media_type="application/json")

    def known(request_id: UUID) -> Taken:
        if request_id not in system.taken:
            raise HTTPException(404)
        return system.taken[request_id]

    @app.get("/v2/discovery")
    async def discovery() -> dict[str, object]:
        identities = [{"identity_type": "email", "identity_format": "raw"}]
        supported = {"supported_identities": identities, "supported_subject_request_types": ["access", "erasure"]}
        return {"api_version": "2.0", "processor_certificate": f"https://{domain}/certificate.pem", **supported}

    @app.post("/v2/requests")
    async def take(request: DsrRequest) -> Response:
        encoded = b64encode(request.model_dump_json().encode()).decode()
        taken = system.take(request)
        return answer(taken, 201, {"received_time": taken.received, "encoded_request": encoded})

    @app.get("/v2/requests/{request_id}")
    async def status(request_id: UUID, request: Request) -> Response:
        taken = known(request_id)
        if taken.found is None:
            return answer(taken, 200, {"request_status": "pending"})
        results = str(request.url_for("results", request_id=str(request_id))) if taken.found else None
        count = len(taken.found)
        return answer(taken, 200, {"request_status": "completed", "results_count": count, "results_url": results})

    @app.get("/v2/results/{request_id}", name="results")
    async def results(request_id: UUID) -> Response:
        return signed({"subscription": known(request_id).found or []})

    return app


if __name__ == "__main__":
    invented = [{"email": f"{name}@example.com", "list": "news"} for name in ("ana", "bo", "cem")]
    uvicorn.run(application(MailingSystem(invented, SystemClock())), host="127.0.0.1", port=int(sys.argv[1]))
