"""Calls intake's API: retries what may be retried while intake is away, and reports refusals with their reasons."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Self, TypeVar

import httpx
import orjson
from pydantic import Field, FilePath, SecretStr, model_validator

from shared.domain.configuration import Group
from shared.domain.errors import DsrError, Unavailable

_URL = r"^(https://[^\s/?#@]+|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?)(/[^\s?#@]*)?$"
"""The key goes with every call: in clear to this machine alone."""


class ApiSettings(Group, prefix="DSR_API_"):
    """Intake's API, as the commands call it."""

    url: str = Field(
        pattern=_URL, repr=False, description="base URL of intake, as https://dsr.example; http to this machine alone"
    )
    key: SecretStr | None = Field(default=None, description="an API key, made by `dsr api-key new`")
    key_file: FilePath | None = Field(default=None, description="file that holds the key, instead of DSR_API_KEY")

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.key is None) == (self.key_file is None):
            said = "neither DSR_API_KEY nor" if self.key is None else "both DSR_API_KEY and"
            raise ValueError(f"{said} DSR_API_KEY_FILE is set: set one of them, to an API key or a file that holds it")
        return self

    @property
    def token(self) -> str:
        """The key itself; raises ``OSError`` where its file cannot be read."""
        if self.key:
            return self.key.get_secret_value()
        return self.key_file.read_text(encoding="utf-8").strip() if self.key_file else ""


PATIENCE_SECONDS = 30.0
"""Seconds for which a command waits for intake, such as during a rollout."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0
_JSON, _PROBLEM = "application/json", "application/problem+json"
_NO_ROUTE = "urn:dsr:problem:http"
_BUSY = frozenset({429, 502, 503, 504})
_TIMEOUT_SECONDS = 60.0
_ANOTHER = "DSR_API_URL does not answer as this API does: set it to intake's, or take the command of its version"
T = TypeVar("T")
_SECRET = re.compile(r"[\x21-\x7e]+")


class ApiRefused(DsrError):
    """Intake refuses what a command asks for."""


class ApiAway(Unavailable):
    """Intake could not be reached, or was too busy, for as long as a command waits."""


class Api:
    """Intake's API with one key; every call raises ``ApiRefused`` for a refusal, ``ApiAway`` where no answer came."""

    def __init__(self, client: httpx.AsyncClient, patience: float) -> None:
        self._client = client
        self._patience = patience

    async def get(self, path: str, /, *, kind: str = _JSON, **query: Any) -> httpx.Response:
        """Reads what is at that path, of that media type; a parameter that is None is left out."""
        wanted = {name: value for name, value in query.items() if value is not None}
        return await self._call("GET", path, repeatable=True, kind=kind, params=wanted)

    async def post(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None, *, repeatable: bool = False
    ) -> httpx.Response:
        """Sends a body, or JSON as bytes; ``repeatable``: doing it twice does it once, as with ``If-Match``."""
        content = body if isinstance(body, bytes | None) else orjson.dumps(body)
        typed = {} if content is None else {"Content-Type": "application/json"}
        sent = {**typed, **(headers or {})}
        return await self._call("POST", path, repeatable=repeatable, headers=sent, content=content)

    async def _call(
        self, method: str, path: str, *, repeatable: bool, kind: str = _JSON, **call: Any
    ) -> httpx.Response:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + self._patience, _FIRST_PAUSE
        while True:
            wait, again = pause, repeatable
            try:
                answer = await self._client.request(method, path, **call)
                if answer.status_code not in _BUSY:
                    return _good(answer, kind)
                why = _described(answer)
                again = repeatable or _kind(answer) == _PROBLEM  # a problem says that nothing is done
                after = answer.headers.get("Retry-After", "")
                wait = max(pause, float(after) if after.isdecimal() else 0.0)
            except httpx.TransportError as error:
                why = f"{self._client.base_url}: {str(error) or type(error).__name__}"
                again = repeatable or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if not again or loop.time() + wait > until:
                known = "" if again else "; whether it was done is not known: look before you repeat it"
                raise ApiAway(f"the API gives no answer ({why}){known}: try again later, or correct DSR_API_URL")
            await asyncio.sleep(wait)
            pause = min(2 * pause, _LONGEST_PAUSE)


def run(work: Callable[[Api], Awaitable[T]]) -> T:
    """Does some work with the API that the environment names; raises ``Misconfigured`` where it names none."""
    settings = ApiSettings.of_environment()
    token = settings.token
    if not _SECRET.fullmatch(token):
        raise ApiRefused("what DSR_API_KEY or DSR_API_KEY_FILE holds is no API key: put in one line, dsr_…")

    async def connect() -> T:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=settings.url, headers=headers, timeout=_TIMEOUT_SECONDS) as client:
            try:
                return await work(Api(client, PATIENCE_SECONDS))
            except KeyError as error:
                raise ApiRefused(f"{_ANOTHER} (it names no {error})") from error

    return asyncio.run(connect())


def content_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; raises ``ApiRefused`` where it is none."""
    with suppress(ValueError, RecursionError):
        if isinstance(found := json.loads(answer.content), dict):
            return found
    raise ApiRefused(f"{_ANOTHER} (it is no JSON object)")


def _good(answer: httpx.Response, kind: str) -> httpx.Response:
    if answer.is_success and _kind(answer) == kind:
        return answer
    raise ApiRefused(_described(answer))


def _described(answer: httpx.Response) -> str:
    """A problem (RFC 9457) in one line."""
    try:
        problem = json.loads(answer.content if _kind(answer) == _PROBLEM else b"")
        title, wrong = str(problem["title"]), [f"{each['field']}: {each['message']}" for each in problem["errors"]]
        if problem["type"] == _NO_ROUTE:
            asked = f"{answer.request.method} {answer.request.url.path}"
            return f"{title}: this API has no {asked}: correct DSR_API_URL, or take the command of its version"
        return f"{title.rstrip('.')}: {'; '.join(wrong) or problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{_ANOTHER} ({answer.status_code}, {_kind(answer)})"


def _kind(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", "nothing")).partition(";")[0]
