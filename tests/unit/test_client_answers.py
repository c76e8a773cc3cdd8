"""What a command says of an answer that is none of this API."""

from functools import partial

import httpx
import pytest

from services.intake.client.api import Api, ApiRefused
from services.intake.client.requests import list_requests


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"errors": 7}', '{"type": "x", "title": "y", "errors": [1], "detail": ""}']
)
async def test_a_problem_that_is_none_of_ours_is_said_to_be_another_service(content: str) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=content, headers={"Content-Type": "application/problem+json"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answered), base_url="https://dsr.example") as client:
        with pytest.raises(ApiRefused, match="does not answer as this API does"):
            await Api(client, 0).get("/v1/requests")


STRANGE = ("", "{", "null", "[]", '"x"', "{}", '{"requests": [{}], "cursor": null}', '{"requests": [{"right": 1}]}')


@pytest.mark.parametrize("content", STRANGE)
def test_an_answer_that_is_good_and_says_nothing_that_is_asked_for_names_the_setting_to_correct(
    content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answered(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=content, headers={"Content-Type": "application/json"})

    monkeypatch.setenv("DSR_API_URL", "https://dsr.example")
    monkeypatch.setenv("DSR_API_KEY", "dsr_k")
    of = partial(httpx.AsyncClient, transport=httpx.MockTransport(answered))
    monkeypatch.setattr(httpx, "AsyncClient", of)
    with pytest.raises(ApiRefused, match=r"answers as this API does not .* set DSR_API_URL"):
        list_requests()
