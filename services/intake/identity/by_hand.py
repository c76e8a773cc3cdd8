"""Proof that people enter by hand: what hands out, erases or corrects data takes two persons who enter the same."""

import hmac
from collections.abc import Sequence

from services.intake.deciding import Held
from services.intake.errors import SamePerson
from services.intake.schemas import Verification
from shared.domain.identities import Identity
from shared.domain.rights import Right

BY_TWO = frozenset({Right.ACCESS, Right.PORTABILITY, Right.ERASURE, Right.RECTIFICATION})
"""The rights whose requests open data, destroy them, or change the address by which their subject is proved."""
_PROPOSED = "SELECT digest, holder FROM proof_by_hand WHERE request_id = $1"
_PROPOSE = """
INSERT INTO proof_by_hand (request_id, digest, methods, holder, proposed_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (request_id) DO UPDATE SET digest = $2, methods = $3, holder = $4, proposed_at = $5
"""
_FORGET = "DELETE FROM proof_by_hand WHERE request_id = $1"


async def agreed(held: Held, said: Verification, stated: Sequence[Identity]) -> bool:
    """Returns whether the proof counts now; the first of two persons is remembered.

    Raises:
        SamePerson: the same person has entered it before.
    """
    about = "".join(f"\0{each.type}\0{each.value}" for each in stated)  # another reply would be another proof
    return await entered_by_two(held, f"{said.model_dump_json()}{about}", _methods(said))


async def entered_by_two(held: Held, entered: str, methods: str) -> bool:
    """Returns whether what was entered counts now; ``methods``: what a second person reads of it.

    Raises:
        SamePerson: the same person has entered it before.
    """
    tx, request, caller = held.tx, held.request, held.caller
    if caller.grant.by_hand and request.right in BY_TWO:
        digest = hmac.digest(tx.vault.keyring.lookup, f"by hand\0{entered}".encode(), "sha256")
        before = await tx.connection.fetchrow(_PROPOSED, request.request_id)
        if before is None or before["digest"] != digest:
            row = (request.request_id, digest, methods, caller.holder, tx.now)
            await tx.connection.execute(_PROPOSE, *row)
            return False
        if before["holder"] == caller.holder:
            raise SamePerson("you have entered this proof: a second person must look at it and enter the same")
    await tx.connection.execute(_FORGET, request.request_id)
    return True


def _methods(said: Verification) -> str:
    """Returns what was entered, as a second person reads it."""
    listed = [f"{each.identity} by {each.method}" for each in said.proofs]
    return ", ".join([*([f"{said.assurance.method} ({said.assurance.level})"] if said.assurance else []), *listed])
