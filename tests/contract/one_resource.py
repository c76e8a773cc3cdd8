"""A system in one resource, declared here, whose every answer a test gives."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.domain.operations import Operation
from shared.systems.contract import Result
from tests.contract.http_stands import ADA, Declared, declared, task
from tests.fixtures.engine import SetClock

DECLARATION = """
auth = {auth}
check = {{ get = "/me" }}
{more}
[resource.person]
category = "contact"
find = {{ get = "/people", query = {{ email = "{{email}}" }}, by = ["email"], records = "people"{find} }}
owner = {{ email = "email" }}
fields = {{ id = "T", email = "A" }}
erase = [{{ delete = "/people/{{id}}", done = [{{ status = 404 }}] }}]
verify = {{ ask = [{{ get = "/people/{{id}}", gone = [{{ status = 404 }}] }}] }}
"""
BEARER = '{ value = "Bearer {HUBSPOT_TOKEN}" }'
Handle = Callable[[httpx.Request], httpx.Response]
Ask = Callable[..., Awaitable[Result]]
ME = {"id": 7, "email": ADA}


def people(*found: Mapping[str, Any], **more: Any) -> httpx.Response:
    return httpx.Response(200, json={"people": list(found), **more})


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """The result of one export, or of another operation, of a system that answers so."""

    async def asked(
        handle: Handle, *, auth: str = BEARER, find: str = "", more: str = "", erase: bool = False, **settings: object
    ) -> Result:
        (tmp_path / "saas.toml").write_text(DECLARATION.format(auth=auth, find=find, more=more))
        async with declared(tmp_path / "saas.toml", httpx.MockTransport(handle), SetClock(), **settings) as engine:
            return await once(engine, erase=erase)

    return asked


async def once(engine: Declared, *, erase: bool) -> Result:
    if erase:
        return (await engine.once([task()]))[0]
    return (await engine.adapter.export([task(Operation.EXPORT)], engine.save_progress))[0]
