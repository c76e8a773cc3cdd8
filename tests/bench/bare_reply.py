"""The bare application that intake is measured next to: the same body in, the same answer out, and nothing kept.

Anybody writes it so with FastAPI: body and answer are models of the route.
"""

import sys
from datetime import date
from uuid import uuid4

import uvicorn
import uvloop
from fastapi import FastAPI

from services.intake.api.views import SubmissionAccepted
from services.intake.request.lifecycle import State
from services.intake.submission.schemas import Submission

CODE = "NBSWY3DPEB3W64TMMQQQAAAA"
app = FastAPI()


@app.post("/v1/requests", status_code=201)
async def submit(body: Submission) -> SubmissionAccepted:
    """Answers 201 as intake does."""
    due_on = body.received_at.date() if body.received_at else date(2026, 1, 1)
    return SubmissionAccepted(request_id=uuid4(), state=State.IN_PROGRESS, due_on=due_on, letter_code=CODE)


if __name__ == "__main__":
    config = uvicorn.Config(app, port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off")
    uvloop.run(uvicorn.Server(config).serve())
