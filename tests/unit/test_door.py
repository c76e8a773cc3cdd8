"""What breaks past all routing is answered too, and left to the server to log."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from services.intake.api.door import Door
from services.intake.auth import Caller
from services.intake.grant import Grant
from services.intake.settings import IntakeSettings
from shared.domain.errors import IllegalTransition


class Breaks:
    """An endpoint that raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        raise self._error


async def post(error: Exception) -> httpx.Response:
    async def caller(_token: str | None) -> Caller:
        return Caller("0" * 12, "channel", "portal", "portal-1", Grant())

    keys: Any = SimpleNamespace(caller=caller)
    door = Door(Breaks(ValueError()), {"/v1/requests": Breaks(error)}, keys, IntakeSettings(), AsyncMock())
    transport = httpx.ASGITransport(door, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
        return await client.post("/v1/requests", json={})


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("broken"), 500), (IllegalTransition("too late"), 409)])
async def test_what_an_endpoint_raises_is_answered_with_a_problem(error: Exception, status: int) -> None:
    answer = await post(error)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert "broken" not in answer.text
