"""Actions about incidents: their facts, the decision of two people, notices, and closing (Art. 33, 34)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from services.intake.actions.action import Action, Held, Pairs, by_two
from services.intake.actions.stopped import of_row
from services.intake.incidents import record
from services.intake.incidents.incident import IncidentClosed, IncidentFacts, Notified, RiskDecided


def _is_open(held: Held) -> bool:
    return held.row.closed_at is None


async def _noted(held: Held) -> Pairs:
    """Notes in the evidence who reads the facts, which stand in the form."""
    record.note_reader(held.tx, held.row, held.caller)
    return ()


async def _reading(held: Held) -> Pairs:
    """The facts; the evidence names the reader."""
    await _noted(held)
    facts = held.row.facts
    said = facts.model_dump(mode="json") if facts else {}
    named = ((info.title or name, said.get(name)) for name, info in IncidentFacts.model_fields.items())
    shown = ((title, ", ".join(value) if isinstance(value, list) else str(value)) for title, value in named if value)
    return [("Notify the authority by", _local(held, held.row.notify_by)), *shown]


def _local(held: Held, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(held.tx.policy.controller.zone)):%Y-%m-%d %H:%M}"


def _facts(held: Held, _: RiskDecided) -> str:
    """Digest of the facts; other facts void an approval."""
    facts = held.row.facts
    return hashlib.sha256(facts.model_dump_json().encode()).hexdigest() if facts else ""


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "incidents/facts",
        lambda held, said: record.state(held.tx, held.row, said, held.caller),
        _is_open,
        IncidentFacts,
        reads=_noted,
        known=lambda held: held.row.facts,
    ),
    Action(
        "incidents/decide",
        lambda held, said: record.decide(held.tx, held.means.letters, held.row, said, held.caller, held.first or ""),
        _is_open,
        RiskDecided,
        second=by_two,
        about=_facts,
        reads=_reading,
        shows=("risk", "exemption"),
        final=True,
    ),
    Action(
        "incidents/notified", lambda held, said: record.note(held.tx, held.row, said, held.caller), _is_open, Notified
    ),
    Action(
        "incidents/close",
        lambda held, said: record.close(held.tx, held.row, said, held.caller),
        _is_open,
        IncidentClosed,
        reads=_reading,
        final=True,
    ),
)
INCIDENTS: Final = of_row(
    "incidents",
    lambda tx, key: record.load(tx, UUID(key)),
    lambda row: "closed" if row.closed_at else "open",
    *ACTIONS,
    titled=lambda held: f"Incident found {_local(held, held.row.found_at)}",
    due=lambda held: held.row.notify_by,
    allowed=lambda held: record.must_not_have_handled(held.tx, held.row, held.caller),
    sealed=True,
)
