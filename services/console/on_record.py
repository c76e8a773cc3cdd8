"""What the evidence has of sessions: who began one, with which roles and from where, and who ended it."""

from collections.abc import Sequence
from typing import Literal

from pydantic import JsonValue

from services.intake.access.auth import PERSON, of_person
from shared.messaging.unit_of_work import UnitOfWork


def signed_in(tx: UnitOfWork, holder: str, roles: Sequence[str], address: str) -> None:
    """Somebody has signed in, from that address; neither cookie nor token stands there."""
    detail: dict[str, JsonValue] = {"holder": holder, "roles": [*roles], "from": address}
    tx.log_evidence(of_person(holder), "console.signed_in", detail, f"{PERSON}{holder}")


def signed_out(tx: UnitOfWork, holder: str, where: Literal["here", "everywhere"]) -> None:
    """Records that a person has ended one of their sessions, or all."""
    tx.log_evidence(of_person(holder), "console.signed_out", {"holder": holder, "where": where}, f"{PERSON}{holder}")
