"""What a command says of an answer that is none of this API."""

import httpx
import pytest

from services.intake.client.api import Api, ApiRefused


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"errors": 7}', '{"type": "x", "title": "y", "errors": [1], "detail": ""}']
)
async def test_a_problem_that_is_none_of_ours_is_said_to_be_another_service(content: str) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=content, headers={"Content-Type": "application/problem+json"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answered), base_url="https://dsr.example") as client:
        with pytest.raises(ApiRefused, match="does not answer as this API does"):
            await Api(client, 0).get("/v1/requests")
