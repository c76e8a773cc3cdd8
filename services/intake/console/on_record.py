"""What the evidence has of sessions: who began one, with which roles and from where, and who ended it."""

from collections.abc import Sequence
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import JsonValue

from services.intake.actors import PERSON
from shared.messaging.unit_of_work import UnitOfWork


def of_person(holder: str) -> UUID:
    """Under which id the evidence has the sessions of somebody."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:person:{holder}")


def signed_in(tx: UnitOfWork, holder: str, roles: Sequence[str], address: str) -> None:
    """Somebody has signed in, from that address; neither cookie nor token stands there."""
    detail: dict[str, JsonValue] = {"holder": holder, "roles": [*roles], "from": address}
    tx.log_evidence(of_person(holder), "console.signed_in", detail, f"{PERSON}{holder}")


def signed_out(tx: UnitOfWork, holder: str, where: Literal["here", "everywhere"]) -> None:
    """Records that a person has ended one of their sessions, or all."""
    tx.log_evidence(of_person(holder), "console.signed_out", {"holder": holder, "where": where}, f"{PERSON}{holder}")
