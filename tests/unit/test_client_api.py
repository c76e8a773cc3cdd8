"""What a command does while the API is away: repeats what is done once however often it is sent, and nothing else."""

from collections.abc import Callable, Iterator

import httpx
import pytest

from services.intake.client import api
from services.intake.client.api import Api, ApiAway, ApiRefused

PROBLEM = {"type": "urn:dsr:problem:unavailable", "title": "Away.", "status": 503, "detail": "try again", "errors": []}
NOTHING_DONE = httpx.Response(503, json=PROBLEM, headers={"Content-Type": "application/problem+json"})
PROXY = httpx.Response(502, html="<h1>Bad Gateway</h1>")
DONE = httpx.Response(200, json={"state": "sent"})
BROKEN_OFF, NOT_REACHED = httpx.ReadError("broken off"), httpx.ConnectError("refused")
Answer = httpx.Response | Exception


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_FIRST_PAUSE", 0.0)


def answering(*answers: Answer, asked: list[httpx.Request]) -> Api:
    """An API that answers so, one call after the other."""
    left: Iterator[Answer] = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        said = next(left)
        if isinstance(said, Exception):
            raise said
        return said

    return Api(httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://intake"), patience=60)


@pytest.mark.parametrize("away", [NOTHING_DONE, PROXY, BROKEN_OFF, NOT_REACHED], ids=["503", "502", "broken", "closed"])
async def test_what_is_read_or_may_be_sent_twice_is_sent_again(away: Answer) -> None:
    asked: list[httpx.Request] = []
    assert (await answering(away, away, DONE, asked=asked).get("/v1/letters")).json() == {"state": "sent"}
    again = answering(away, DONE, asked=asked)
    await again.post("/v1/requests", {}, {"Idempotency-Key": "1"}, repeatable=True)
    assert [each.method for each in asked] == ["GET", "GET", "GET", "POST", "POST"]
    assert asked[-1].headers["Idempotency-Key"] == "1"


@pytest.mark.parametrize("away", [NOTHING_DONE, NOT_REACHED], ids=["503", "closed"])
async def test_what_was_surely_not_done_is_sent_again(away: Answer) -> None:
    asked: list[httpx.Request] = []
    await answering(away, DONE, asked=asked).post("/v1/letters/1/posted")
    assert len(asked) == 2


@pytest.mark.parametrize("away", [PROXY, BROKEN_OFF], ids=["502", "broken"])
async def test_what_may_have_been_done_is_not_sent_again_unless_that_does_it_once(away: Answer) -> None:
    asked: list[httpx.Request] = []
    with pytest.raises(ApiAway, match="whether it was done is not known: look before you repeat it"):
        await answering(away, asked=asked).post("/v1/letters/1/posted")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            lambda: httpx.Response(422, json=PROBLEM | {"errors": [{"field": "right", "message": "is none"}]}),
            "Away: right: is none",
        ),
        (lambda: httpx.Response(409, json=PROBLEM), "Away: try again"),
        (lambda: httpx.Response(404, json=PROBLEM | {"type": "urn:dsr:problem:http"}), "this API has no GET /v1/x"),
        (
            lambda: httpx.Response(308, headers={"Location": "https://elsewhere"}),
            r"does not answer as this API does \(308",
        ),
        (
            lambda: httpx.Response(200, html="Welcome to the hotel"),
            r"does not answer as this API does \(200, text/html",
        ),
    ],
    ids=["fields", "detail", "no route", "elsewhere", "another page"],
)
async def test_refusal_names_the_remedy(answer: Callable[[], httpx.Response], said: str) -> None:
    given = answer()
    if given.status_code >= 400:
        given.headers["Content-Type"] = "application/problem+json"
    asked: list[httpx.Request] = []
    with pytest.raises(ApiRefused, match=said):
        await answering(given, asked=asked).get("/v1/x")
    assert len(asked) == 1, "and no key is sent to where it leads"
