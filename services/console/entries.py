"""Entries of the evidence as they are read: what was noted, and by whom; pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from services.intake.access.auth import PERSON

_SERVICE: Final = "service:"
_KEY: Final = "key:"


def said(detail: Mapping[str, JsonValue]) -> Sequence[tuple[str, str]]:
    """What was noted, each with its name; what says nothing is left out."""
    return [(name.replace("_", " "), _told(value)) for name, value in detail.items() if value not in (None, "", [], {})]


def by(actor: str, service: str) -> str:
    """Names the account of a person, a key, or the service by itself."""
    if actor.startswith(_SERVICE):
        own = actor.removeprefix(_SERVICE)
        return own if own == service else f"{own} ({service})"
    if actor.startswith(PERSON):
        return actor.removeprefix(PERSON)
    return f"key {actor.removeprefix(_KEY)}"


def _told(value: JsonValue) -> str:
    if isinstance(value, list):
        return ", ".join(_told(each) for each in value)
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_told(each)}" for name, each in value.items())
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
