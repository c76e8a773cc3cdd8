"""Reducing a customer to what must stay: the rest goes now, and what is kept for a period alone is restricted.

Every step may be repeated, and what is to go is noted before the first, so a task that was interrupted ends with the
receipt that it would have given at first.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Final, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from shared.domain.errors import ResidueFound, Withdrawn
from shared.domain.operations import Kept, TaskOutcome
from shared.domain.policy import Rule
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.standing import Standing
from shared.downstreams.tryton.grounds import Stays
from shared.downstreams.tryton.party import Party, counts
from shared.downstreams.tryton.rpc import CrmRefused, TrytonRpc
from shared.downstreams.tryton.search import ADDRESS, ASSIGNMENT, CONTACT, IDENTIFIER, PARTY, load

NOTED: Final = "reduced"
"""Under which key the plan stands in the progress of its task."""
_NAME, _ADDRESS, _IDENTIFIER = "name", "address", "vat_number"
"""What the rules of the policy call these fields."""


class Reduction(BaseModel):
    """What of a task's parties goes and what stays, by row ids and counts: its progress, so nothing personal."""

    model_config = ConfigDict(frozen=True)

    rule: str
    period: str | None
    last_day: date | None
    anchor: date | None
    restricts: bool
    parties: tuple[int, ...]
    contacts: tuple[int, ...] = ()
    assignments: tuple[int, ...] = ()
    addresses: tuple[int, ...] = ()
    without_identifiers: bool = False
    without_name: bool = False
    found: Mapping[str, int]
    gone: Mapping[str, int]
    named: bool = True

    @classmethod
    def of(cls, parties: Sequence[Party], why: Stays) -> Self:
        """What of these parties goes, where that rule keeps the rest."""
        rows = {name: tuple(each) for name, each in _going(parties, why.rule).items()}
        identifiers = bool(why.rule.fields) and _IDENTIFIER not in why.rule.fields
        gone = {
            "contact": len(rows["contacts"]),
            "assignment": len(rows["assignments"]),
            "address": sum(a.id in rows["addresses"] and bool(a.lines) for p in parties for a in p.addresses),
            "identifier": sum(len(party.identifiers) for party in parties) if identifiers else 0,
        }
        return cls(
            rule=why.name,
            period=str(why.rule.period) if why.rule.period else None,
            last_day=why.last_day,
            anchor=why.anchor,
            restricts=why.restricts,
            parties=tuple(party.id for party in parties),
            without_identifiers=identifiers,
            without_name=bool(why.rule.fields) and _NAME not in why.rule.fields,
            named=any(party.name for party in parties),
            found=counts(parties),
            gone={category: rows for category, rows in gone.items() if rows},
            **rows,
        )

    @classmethod
    def noted(cls, task: Task) -> Self | None:
        """What an earlier attempt has noted."""
        said = task.progress.get(NOTED)
        return cls.model_validate(said) if isinstance(said, dict) else None

    @property
    def progress(self) -> dict[str, JsonValue]:
        """As it is noted."""
        return {NOTED: self.model_dump(mode="json")}

    def kept(self) -> tuple[Kept, ...]:
        """What stays, by category."""
        left = Counter(self.found) - Counter(self.gone)
        day = {"first": self.last_day, "last": self.last_day, "anchor": self.anchor, "period": self.period}
        return tuple(
            Kept.model_validate({"category": category, "rule": self.rule, "count": rows, **day})
            for category, rows in sorted(left.items())
        )

    def receipt(self, task: Task, outcome: TaskOutcome) -> Receipt:
        """What was done of it or, of a plan, would be."""
        kept = self.kept()
        gone = sum(self.gone.values())
        return Receipt(
            *(task.task_id, outcome),
            found=sum(self.found.values()),
            changed=gone if outcome is TaskOutcome.RETAINED else 0,
            remaining=sum(each.count for each in kept),
            by_category=self.found,
            ground=self.rule,
            until=self.last_day,
            kept=kept,
            reduced=self._reduced() if outcome is TaskOutcome.RETAINED else None,
        )

    def _reduced(self) -> Mapping[str, int]:
        """Of how many rows that stay something was taken: of none, where an earlier request had left them so."""
        takes = bool(self.gone) or (self.without_name and self.named)
        return {**self.gone, "account": len(self.parties)} if takes else {}


async def reduce(
    rpc: TrytonRpc, tasks: Sequence[Task], planned: Mapping[UUID, Reduction], save_progress: Checkpoint
) -> dict[UUID, Result]:
    """Removes what need not stay of each task's parties, restricts what nothing but its rule uses, and looks again."""
    theirs = {task.task_id: task for task in tasks if task.task_id in planned}
    if fresh := {key: planned[key].progress for key, task in theirs.items() if NOTED not in task.progress}:
        await save_progress(fresh)
    standing = Standing(theirs, save_progress, rpc.concurrency)
    results: dict[UUID, Result] = {}
    for key, task in theirs.items():
        try:
            async with standing.step(key):
                await _take(rpc, planned[key])
        except (CrmRefused, Withdrawn) as refusal:
            results[key] = refusal
            continue
        results[key] = await _look(rpc, task, planned[key])
    return results


async def _take(rpc: TrytonRpc, plan: Reduction) -> None:
    for model, ids in ((CONTACT, plan.contacts), (ASSIGNMENT, plan.assignments), (ADDRESS, plan.addresses)):
        there = [row["id"] for row in await rpc.search_in(model, "id", ids, ("id",))] if ids else []
        await rpc.delete(model, there)
    if plan.without_identifiers:
        rows = await rpc.search_in(IDENTIFIER, "party", plan.parties, ("id",))
        await rpc.delete(IDENTIFIER, [row["id"] for row in rows])
    changes = ({"restricted": True} if plan.restricts else {}) | ({"name": None} if plan.without_name else {})
    if changes:
        await rpc.write(PARTY, plan.parties, changes)


async def _look(rpc: TrytonRpc, task: Task, plan: Reduction) -> Result:
    now = await load(rpc, plan.parties)
    wrong = any(party.restricted is not True for party in now.values()) if plan.restricts else False
    gone = {*plan.contacts}, {*plan.assignments}, {*plan.addresses}
    left = any(
        {each.id for each in party.contacts} & gone[0]
        or {each.id for each in party.assignments} & gone[1]
        or {each.id for each in party.addresses} & gone[2]
        or (plan.without_identifiers and party.identifiers)
        or (plan.without_name and party.name)
        for party in now.values()
    )
    if wrong or left or now.keys() != {*plan.parties}:
        return ResidueFound("the CRM was told to keep less of the party, and something else is there")
    return plan.receipt(task, TaskOutcome.RETAINED)


def _going(parties: Sequence[Party], rule: Rule) -> dict[str, list[int]]:
    """The rows that go: all that the rule does not name or, where it keeps everything, what nobody needs."""
    if rule.fields:
        addresses = [] if _ADDRESS in rule.fields else [each.id for party in parties for each in party.addresses]
        return {
            "contacts": [each.id for party in parties for each in party.contacts],
            "assignments": [each.id for party in parties for each in party.assignments],
            "addresses": addresses,
        }
    return {"contacts": list(_spare_contacts(parties)), "assignments": [], "addresses": list(_spare_addresses(parties))}


def _spare_contacts(parties: Sequence[Party]) -> Iterator[int]:
    """Former contacts, and all but the first of each kind."""
    for party in parties:
        seen: set[str] = set()
        for contact in sorted(party.contacts, key=lambda each: each.id):
            if not contact.active or contact.kind in seen:
                yield contact.id
            else:
                seen.add(contact.kind)


def _spare_addresses(parties: Sequence[Party]) -> Iterator[int]:
    """Former addresses, and all but the first."""
    for party in parties:
        active = [each.id for each in sorted(party.addresses, key=lambda each: each.id) if each.active]
        yield from (each.id for each in party.addresses if each.id not in active[:1])
