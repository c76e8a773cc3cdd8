"""Actions about incidents: their facts, the decision of two people, notices, and closing (Art. 33, 34)."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from services.intake.actions.action import Action, ActionContext, Pairs, always_two
from services.intake.actions.stopped import of_row
from services.intake.incidents import record
from services.intake.incidents.incident import IncidentClosed, IncidentFacts, Notified, RiskDecided


def _is_open(context: ActionContext) -> bool:
    return context.row.closed_at is None


async def _noted(context: ActionContext) -> Pairs:
    """Notes in the evidence who reads the facts, which stand in the form."""
    record.note_reader(context.tx, context.row, context.caller)
    return ()


async def _reading(context: ActionContext) -> Pairs:
    """The facts; the evidence names the reader."""
    await _noted(context)
    facts = context.row.facts
    body = facts.model_dump(mode="json") if facts else {}
    named = ((info.title or name, body.get(name)) for name, info in IncidentFacts.model_fields.items())
    shown = ((title, ", ".join(value) if isinstance(value, list) else str(value)) for title, value in named if value)
    return [("Notify the authority by", _local(context, context.row.notify_by)), *shown]


def _local(context: ActionContext, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(context.tx.policy.controller.zone)):%Y-%m-%d %H:%M}"


def _facts(context: ActionContext, _: RiskDecided) -> str:
    """Digest of the facts; other facts void an approval."""
    facts = context.row.facts
    return hashlib.sha256(facts.model_dump_json().encode()).hexdigest() if facts else ""


ACTIONS: Final[Sequence[Action]] = (
    Action(
        "incidents/facts",
        lambda context, body: record.state(context.tx, context.row, body, context.caller),
        _is_open,
        IncidentFacts,
        reads=_noted,
        known=lambda context: context.row.facts,
    ),
    Action(
        "incidents/decide",
        lambda context, body: record.decide(
            context.tx, context.use_cases.letters, context.row, body, context.caller, context.first or ""
        ),
        _is_open,
        RiskDecided,
        second=always_two,
        about=_facts,
        reads=_reading,
        shows=("risk", "exemption"),
        final=True,
    ),
    Action(
        "incidents/notified",
        lambda context, body: record.note(context.tx, context.row, body, context.caller),
        _is_open,
        Notified,
    ),
    Action(
        "incidents/close",
        lambda context, body: record.close(context.tx, context.row, body, context.caller),
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
    title_of=lambda context: f"Incident found {_local(context, context.row.found_at)}",
    due=lambda context: context.row.notify_by,
    allowed=lambda context: record.must_not_have_handled(context.tx, context.row, context.caller),
    sealed=True,
)
