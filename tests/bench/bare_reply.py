"""The bare application that intake is measured beside: the same route and the same answer, and nothing done."""

import sys
from uuid import uuid4

import uvicorn
import uvloop
from fastapi import FastAPI, Request


def application() -> FastAPI:
    """One route that reads the body and answers 201 with as many bytes as intake does."""
    app = FastAPI()

    @app.post("/v1/requests", status_code=201)
    async def submit(request: Request) -> dict[str, str]:
        await request.body()
        return {"request_id": str(uuid4()), "state": "in_progress", "due_on": "2026-01-01"}

    return app


if __name__ == "__main__":
    config = uvicorn.Config(application(), port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off")
    uvloop.run(uvicorn.Server(config).serve())
