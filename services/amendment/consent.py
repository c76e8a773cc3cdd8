"""A withdrawal of consent (Art. 7(3)): which systems it concerns, and what ends in them, as the policy says."""

from collections.abc import Collection, Mapping
from dataclasses import replace

from pydantic import JsonValue

from shared.domain.policy import Policy, withdrawal
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork


def details(policy: Policy, purposes: Collection[str]) -> Mapping[str, JsonValue]:
    """What its tasks are told: the purposes, whether marketing is one, what is erased, and what stays for others."""
    follows = withdrawal(policy, purposes)
    return {
        "purposes": [*purposes],
        "marketing": follows.marketing,
        "ends": [*sorted(follows.ends)],
        "concerns": [*sorted(follows.concerns)],
        "policy": policy.version,
    }


async def where(tx: UnitOfWork, fulfilments: Fulfilments, new: NewFulfilment) -> NewFulfilment:
    """The same in the systems that it concerns: marketing may be in any; what else, as they declare what they hold."""
    if new.right is not Right.CONSENT_WITHDRAWAL or new.details.get("marketing"):
        return new
    held = {str(each) for key in ("ends", "concerns") for each in _listed(new.details.get(key))}
    return replace(new, systems=await fulfilments.holding(tx, new.operation, held))


def _listed(named: JsonValue) -> Collection[JsonValue]:
    return named if isinstance(named, list) else ()
