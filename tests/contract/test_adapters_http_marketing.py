"""Whom a declared system would mail is told page by page, so that it can be compared with the list of who gets none."""

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import Response

from shared.domain.errors import AnswerMalformed, Misconfigured, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.downstreams.http.declaration import read_declaration
from tests.contract.http_stands import ADA, declared, hubspot
from tests.contract.one_resource import BEARER, DECLARATION
from tests.fixtures.engine import SetClock
from tests.fixtures.virtual_time import SkippingLoop

PAGES = '{ kind = "page", size = 2, parameter = "p", max = 3 }'
LISTED = f"""everybody = {{ get = "/all", records = "people", pages = {PAGES} }}
read = {{ get = "/people/{{id}}" }}
suppress = {{ steps = [{{ delete = "/people/{{id}}/mail" }}], seen = [{{ path = "mail", equals = false }}] }}
"""


def test_who_bears_no_mark_is_told_from_every_page_and_a_busy_system_is_waited_for() -> None:
    async def told() -> tuple[list[str], int]:
        async with hubspot() as (engine, crm):
            for n in range(150):
                crm.add_contact(f"p{n}@example.com", hs_email_optout=str(n % 2 == 0).lower(), phone="+34600000001")
            crm.add_contact("no address")
            crm.busy = [Response(status_code=429, headers={"Retry-After": "7"})]
            pages = []
            async for page in engine.adapter.would_get_marketing():
                engine.clock.pass_by(seconds=0 if page else 5)
                pages.append(page)
            points = [each for page in pages for person in page for each in person]
            assert engine.adapter.not_compared == ()
            assert Identity(IdentityType.PHONE, "+34600000001", source="saas") in points
            return [each.value for each in points if each.type is IdentityType.EMAIL], sum(not page for page in pages)

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        mailed, waits = runner.run(told())
        assert mailed == [f"p{n}@example.com" for n in range(1, 150, 2)]
        assert waits > 0, "and meanwhile the loop is told that it goes on"
        assert runner.get_loop().time() < 60


@pytest.mark.parametrize(("answer", "fails"), [({"people": 7}, AnswerMalformed), (None, Unavailable)])
async def test_broken_marketing_list_compares_nobody(tmp_path: Path, answer: object, fails: type[Exception]) -> None:
    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + LISTED)

    def handle(request: httpx.Request) -> httpx.Response:
        assert request.url.path.endswith("/all")
        return httpx.Response(200, json=answer) if answer else httpx.Response(500)

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        with pytest.raises(fails):
            _ = [page async for page in engine.adapter.would_get_marketing()]


async def test_who_shows_neither_is_taken_for_mailed(tmp_path: Path) -> None:
    (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=BEARER, find="", more="") + LISTED)
    people = [{"id": 1, "email": ADA}, {"id": 2, "email": "b@example.com", "mail": False}]

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"people": people if request.url.params["p"] == "1" else []})

    async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock()) as engine:
        pages = [page async for page in engine.adapter.would_get_marketing()]
        assert [each.value for page in pages for person in page for each in person] == [ADA]


def test_a_list_of_everybody_needs_what_tells_who_is_mailed(tmp_path: Path) -> None:
    text = DECLARATION.format(auth=BEARER, find="", more="") + LISTED
    (tmp_path / "saas.toml").write_text(text)
    assert read_declaration(tmp_path / "saas.toml").resource["person"].everybody
    (tmp_path / "saas.toml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith("suppress"))
    )
    with pytest.raises(Misconfigured, match="whose seen tells who is mailed"):
        read_declaration(tmp_path / "saas.toml")
    (tmp_path / "saas.toml").write_text(text.replace('"/all"', '"/all/{email}"'))
    with pytest.raises(Misconfigured, match="known to nobody"):
        read_declaration(tmp_path / "saas.toml")
