"""Decides by the policy which systems a withdrawal of consent concerns, and what ends there (Art. 7(3))."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from pydantic import JsonValue

from shared.domain.events import RequestVerified
from shared.domain.identities import IdentityType
from shared.domain.policy import Policy, withdrawal
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import suppression


async def withdrawn_before(tx: UnitOfWork, events: Sequence[RequestVerified]) -> Mapping[UUID, frozenset[str]]:
    """Records the withdrawals; returns by request all purposes to which the person no longer consents.

    A customer's instruction concerns the customer's own consents and is left out.
    """
    asked = [each for each in events if each.purposes and each.tenant is None]
    known = await tx.vault.subject_data(tx.connection, [each.subject for each in asked]) if asked else {}
    prints = {
        each.request_id: {
            tx.vault.keyring.fingerprint(identity)
            for identity in (known[each.subject].identities if each.subject in known else ())
            if identity.type is not IdentityType.NAME and not identity.shared
        }
        for each in asked
    }
    new = [(key, purpose) for each in asked for key in prints[each.request_id] for purpose in each.purposes]
    await suppression.withdraw(tx.connection, new, tx.now)
    noted = await suppression.withdrawn(tx.connection, set().union(*prints.values()))
    return {
        request_id: frozenset(purpose for key, purpose, _ in noted if key in theirs)
        for request_id, theirs in prints.items()
    }


def details(policy: Policy, purposes: Collection[str], before: Collection[str]) -> Mapping[str, JsonValue]:
    """Returns the task details: purposes, whether marketing is one, what is erased, and what stays."""
    follows = withdrawal(policy, purposes, before)
    return {
        "purposes": [*purposes],
        "marketing": follows.marketing,
        "ends": [*sorted(follows.ends)],
        "concerns": [*sorted(follows.concerns)],
        "policy": policy.version,
    }


async def where(tx: UnitOfWork, fulfilments: Fulfilments, new: NewFulfilment) -> NewFulfilment:
    """Limits the work to the systems it concerns; marketing may be in any system."""
    if new.right is not Right.CONSENT_WITHDRAWAL or new.details.get("marketing"):
        return new
    held = {str(each) for key in ("ends", "concerns") for each in _listed(new.details.get(key))}
    return replace(new, systems=await fulfilments.systems_holding(tx, new.operation, held))


def _listed(named: JsonValue) -> Collection[JsonValue]:
    return named if isinstance(named, list) else ()
