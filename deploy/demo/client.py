"""The API as the demonstration uses it: submit, look, download."""

from collections.abc import Mapping, Sequence
from typing import Any, Self
from uuid import uuid4

import httpx


class Door:
    """Intake's API with one key."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(self, body: Mapping[str, Any]) -> str:
        """Hand a request in; its id."""
        answer = self._client.post("/v1/requests", json=body, headers={"Idempotency-Key": str(uuid4())})
        return str(_good(answer).json()["request_id"])

    def read(self, request_id: str) -> Mapping[str, Any]:
        """Where it stands."""
        return dict(_good(self._client.get(f"/v1/requests/{request_id}")).json())

    def timeline(self, request_id: str) -> Sequence[Mapping[str, Any]]:
        """What was done about it."""
        return list(_good(self._client.get(f"/v1/requests/{request_id}/timeline")).json()["entries"])

    def certificate(self, request_id: str) -> bytes:
        """The certificate of a closed request."""
        return _good(self._client.get(f"/v1/requests/{request_id}/certificate")).content

    def package(self, request_id: str) -> bytes:
        """The package of an access or portability request."""
        return _good(self._client.get(f"/v1/requests/{request_id}/package")).content


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise RuntimeError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}")
    return answer
