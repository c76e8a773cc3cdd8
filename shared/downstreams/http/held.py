"""What a legal hold keeps in face of an erasure is used for nothing else meanwhile: restricted, and not mailed."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept, Operation
from shared.domain.policy import Policy
from shared.downstreams import leaving
from shared.downstreams.contract import Task
from shared.downstreams.http.amendment import Amendment
from shared.downstreams.http.declaration import Declaration
from shared.downstreams.http.search import Hit
from shared.downstreams.http.staying import Key, Stays, states_of

Shown = Mapping[str, Mapping[str, bool]]
"""Of the records that a hold alone keeps, by resource and id, whether each shows that it is restricted."""


def unused(declaration: Declaration, policy: Policy, task: Task, hits: Collection[Hit], stays: Stays) -> list[Hit]:
    """What stays for a legal hold alone, and what it lies below; nothing that a state keeps in use.

    A contract that is active, or of which nobody could say that it is not, needs its customer, whatever a hold covers.
    """
    states = leaving.together(task.states, states_of(declaration, hits) or {})
    used = {
        name
        for name, each in declaration.resource.items()
        if any(not policy.rules[rule].fields for rule in leaving.keeping(policy, each.category, states))
    }
    left = [hit for hit in hits if hit.key in stays]
    needed = set[Key]()
    for hit in left:
        if stays[hit.key] != LEGAL_HOLD or hit.resource in used:
            above: Hit | None = hit
            while above is not None:
                needed.add(above.key)
                above = above.above
    return [hit for hit in left if hit.key not in needed]


@dataclass(frozen=True, slots=True)
class Restriction:
    """How it is shown in one system, by what its declaration says."""

    declaration: Declaration
    amendment: Amendment

    async def of(self, task: Task, hits: Sequence[Hit]) -> dict[str, dict[str, bool]]:
        """Restricts these records, and keeps them out of marketing, where there is a way, and says which show it.

        Raises:
            ResidueFound: a record does not show it afterwards.
        """
        shown: dict[str, dict[str, bool]] = {}
        for hit in hits:
            await self.amendment.mark(task, hit, Operation.SUPPRESS)
            restricted = await self.amendment.mark(task, hit, Operation.RESTRICT)
            shown.setdefault(hit.resource, {})[str(hit.id)] = restricted
        return shown


def told(declaration: Declaration, kept: Sequence[Kept], shown: Shown) -> tuple[Kept, ...]:
    """The same, saying how much of what a hold keeps shows that it is restricted."""
    rows = Counter[str]()
    for name, records in shown.items():
        rows[declaration.resource[name].category] += sum(records.values())
    return tuple(
        each.model_copy(update={"restricted": min(each.count, rows[each.category])})
        if each.rule == LEGAL_HOLD and each.category and each.category in rows
        else each
        for each in kept
    )
