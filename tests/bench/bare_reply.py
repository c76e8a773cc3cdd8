"""The bare applications that intake is measured beside: the same body in, the same answer out, and nothing kept.

``declared`` is what anybody writes with FastAPI: body and answer are models of the route. ``unread`` does not even
look at the body.
"""

import sys
from datetime import date
from uuid import uuid4

import uvicorn
import uvloop
from fastapi import FastAPI, Request

from services.intake.api.views import SubmissionAccepted
from services.intake.request.lifecycle import State
from services.intake.submission_schemas import Submission

CODE = "NBSWY3DPEB3W64TMMQQQAAAA"


def application(kind: str) -> FastAPI:
    """One route that answers 201 as intake does."""
    app = FastAPI()

    if kind == "declared":

        @app.post("/v1/requests", status_code=201)
        async def submit(body: Submission) -> SubmissionAccepted:
            due_on = body.received_at.date() if body.received_at else date(2026, 1, 1)
            return SubmissionAccepted(request_id=uuid4(), state=State.IN_PROGRESS, due_on=due_on, letter_code=CODE)

    else:

        @app.post("/v1/requests", status_code=201)
        async def submit_unread(request: Request) -> dict[str, str]:
            await request.body()
            return {"request_id": str(uuid4()), "state": "in_progress", "due_on": "2026-01-01", "letter_code": CODE}

    return app


if __name__ == "__main__":
    config = uvicorn.Config(
        application(sys.argv[2]), port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off"
    )
    uvloop.run(uvicorn.Server(config).serve())
