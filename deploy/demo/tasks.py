"""How far each downstream has come with each request, read from the services' own task tables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.local import postgres_databases as databases

_OF_SERVICE = """
SELECT f.request_id::text, t.system, t.operation, t.stage, t.state, t.attempt, t.receipt::text, t.failure
  FROM {service}.task t JOIN {service}.fulfilment f USING (fulfilment_id)
"""
_ALL = (
    " UNION ALL ".join(_OF_SERVICE.format(service=name) for name in ("erasure", "export", "amendment")) + " ORDER BY 4"
)

_VERB = {"erased": "erased", "exported": "copied", "amended": "changed", "located": "located", "retained": "retained"}


@dataclass(frozen=True, slots=True)
class Progressed:
    """One task: what a downstream is asked, and what it has answered so far."""

    system: str
    operation: str
    state: str
    attempt: int
    receipt: Mapping[str, Any]
    failure: str | None

    @property
    def words(self) -> str:
        """The task in two or three words, for a cell."""
        match self.state:
            case "done" if self.receipt.get("outcome") == "no_match":
                return "– nothing"
            case "done" if self.receipt.get("outcome") == "not_searched":
                return "? not searched"
            case "done":
                outcome = str(self.receipt.get("outcome"))
                count = self.receipt.get("changed" if outcome in {"erased", "amended"} else "found", 0)
                return f"✓ {count:,} {_VERB.get(outcome, outcome)}"
            case "failed":
                return f"✗ {(self.failure or 'failed').replace('_', ' ')}"
            case "waiting" | "cancelled":
                return "·"
            case _:
                return f"{self.operation} …" if self.attempt <= 1 else f"{self.operation}, attempt {self.attempt}"


async def read(dsn: str) -> Mapping[str, Mapping[str, Progressed]]:
    """By request and system the task that says most: the latest that has begun, else the first that waits."""
    by_request: dict[str, dict[str, Progressed]] = {}
    for request_id, system, operation, _, state, attempt, receipt, failure in await databases.fetch(dsn, _ALL):
        task = Progressed(system, operation, state, attempt, json.loads(receipt or "{}"), failure)
        cells = by_request.setdefault(request_id, {})
        if system not in cells or state not in {"waiting", "cancelled"}:
            cells[system] = task
    return by_request
