"""Corrections in Tryton (Art. 16): name, e-mail, phone and the lines of an address.

A contact is no assignment: whose a number is stands in a model of its own, which no correction touches.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from shared.domain.errors import Refused, ResidueFound, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, TaskOutcome
from shared.domain.text import nfc
from shared.systems.contract import Checkpoint, Receipt, Result, Task, of_corrections
from shared.systems.engine.looking import look
from shared.systems.engine.ownership import refusal, subject
from shared.systems.engine.records import Shape
from shared.systems.engine.stepwise import Standing
from shared.systems.tryton.customer import (
    ADDRESS,
    CONTACT,
    PARTY,
    STREET_PARTS,
    VERSION,
    Customer,
    Row,
    lines,
    spelled,
    type_of,
    value_of,
)
from shared.systems.tryton.search import Search
from shared.systems.tryton.system import TrytonSystem

_CONTACTS: Final = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
_ROWS_OF_PARTY: Final = {CONTACT: "contact_mechanisms", ADDRESS: "addresses"}
_FIELDS: Final = ("name", "email", "phone", "address.street", "address.postal_code", "address.city")
_PARTY: Final = "party"
"""Under which key the progress of a task says whom it corrects: a corrected address no longer finds them."""


class Write(NamedTuple):
    """One call that a change needs; ``row``: as it was read, None for a new one of the party.

    ``with_party``: it is made together with what else changes of the party, or not at all.
    """

    model: str
    row: Row | None
    values: Mapping[str, Any]
    with_party: bool = False


class Corrections:
    """The corrections of one call; all changes of a task are checked before the first is made."""

    def __init__(self, system: TrytonSystem, search: Search, save_progress: Checkpoint) -> None:
        self._system, self._search, self._save_progress = system, search, save_progress

    @property
    def shapes(self) -> Sequence[Shape]:
        """The places of the system."""
        return self._system.steps.shapes

    async def run(self, tasks: Sequence[Task]) -> list[Result]:
        """One result for each task, in order; a change that is there already is the same change."""
        standing = Standing([task.task_id for task in tasks], self._save_progress, self._search.rpc.concurrency)
        return await asyncio.gather(*(self._one(task, standing) for task in tasks))

    async def _one(self, task: Task, standing: Standing) -> Result:
        changes = [change for change in task.changes if change.field in _FIELDS]
        if task.changes and not changes:
            return Receipt(task.task_id, TaskOutcome.NOT_HELD)
        try:
            found = await self._found(task)
            if not found:
                return Receipt(task.task_id, TaskOutcome.NO_MATCH)
            async with standing.step(task.task_id):
                await self._correct(found, changes)
        except (Unavailable, Refused) as failure:
            return failure
        shown = [int(change.field in _FIELDS) for change in task.changes]
        return of_corrections(task, Counter(_category(change.field) for change in changes), shown, len(found))

    async def _found(self, task: Task) -> list[Customer]:
        """Whom a task is about, as an earlier attempt has noted it, or as they are found now."""
        if isinstance(party := task.progress.get(_PARTY), int):
            return await self._search.load([party])
        [found] = await look(self._system.steps, [subject(task, self.shapes)])
        if refused := refusal(found, self._system.limits):
            raise refused
        customers: list[Customer] = [m.record.ref[0] for n, m in found.records.items() if n[0] == PARTY and not m.ends]
        if customers:
            await self._save_progress({task.task_id: {_PARTY: customers[0].party["id"]}})
        return customers

    async def _correct(self, customers: Sequence[Customer], changes: Sequence[Change]) -> None:
        if len(customers) > 1:
            raise Refused("the subject has several customer accounts: say which one is wrong")
        if not changes:
            raise Refused("the request names no change")
        party = customers[0].party
        for model, row, values, _ in _together(party, writes(customers[0], changes)):
            changed = row or party
            await self._search.rpc.write(model, [changed["id"]], values, {changed["id"]: changed[VERSION] or ""})
        now = await self._search.load([party["id"]])
        if not now or writes(now[0], changes):
            raise ResidueFound("the CRM accepted the correction and still shows the old value")


def _together(party: Row, found: Sequence[Write]) -> Iterator[Write]:
    """The same with one call for the party itself, by which new rows of it are made too: they have no version."""
    values: dict[str, Any] = {}
    for model, row, written, with_party in found:
        if row is None:
            values.setdefault(_ROWS_OF_PARTY[model], []).append(["create", [written]])
        elif with_party:
            values.setdefault(_ROWS_OF_PARTY[model], []).append(["write", [row["id"]], written])
        elif model == PARTY:
            values |= written
    if values:
        yield Write(PARTY, party, values)
    yield from (each for each in found if each.row is not None and each.model != PARTY and not each.with_party)


def writes(customer: Customer, changes: Sequence[Change]) -> list[Write]:
    """What to write so that the customer shows what the subject says, if anything.

    Raises:
        Refused: it is unclear which value is wrong, or the CRM lets nobody change it.
    """
    party, found = customer.party, list[Write]()
    own = {model: [row for row in rows if row["party"] == party["id"]] for model, rows in customer.rows.items()}
    for change in changes:
        if change.field == "name" and not _is_now(change, party["name"] or ""):
            _expect(change, party["name"] or "")
            found.append(Write(PARTY, party, {"name": change.asserted}))
        elif change.field in _CONTACTS:
            found += _contact(own[CONTACT], change)
    if of_address := [change for change in changes if change.field.startswith("address.")]:
        found += _address([row for row in own[ADDRESS] if row["active"]], of_address)
    if found and not party["active"]:
        raise Refused("the CRM locks closed accounts: reopen it, or correct it by hand")
    return found


def _contact(rows: Sequence[Row], change: Change) -> list[Write]:
    kind = _CONTACTS[change.field]
    in_use = [row for row in rows if type_of(row) is kind and row["active"]]
    if any(_is_now(change, value_of(row)) for row in in_use):
        return []
    if not change.current and len(in_use) > 1:
        raise Refused(f"the customer has several of {change.field}: say which one is wrong")
    _expect(change, *map(value_of, in_use))
    wrong = [row for row in in_use if _was(change, value_of(row)) or not change.current]
    new = Write(CONTACT, None, {"type": change.field, "value": change.asserted})
    if kind is IdentityType.EMAIL:  # what stands elsewhere under the former address is theirs, and must be found
        return [*(Write(CONTACT, row, {"active": False}, with_party=True) for row in wrong), new]
    return [Write(CONTACT, row, {"value": change.asserted}) for row in wrong] or [new]


def _address(in_use: Sequence[Row], changes: Sequence[Change]) -> list[Write]:
    meant = in_use if len(in_use) == 1 else [row for row in in_use if _is_meant(row, changes)]
    if len(meant) > 1 or (in_use and not meant):
        raise Refused("the customer has several addresses: say which one is wrong")
    wrong = [change for change in changes if not meant or not _is_now(change, _shown(meant[0], change))]
    for change in wrong if meant else ():
        _expect(change, _shown(meant[0], change))
    values = {name: line for change in wrong for name, line in _line(change).items()}
    return [Write(ADDRESS, meant[0] if meant else None, values)] if wrong else []


def _is_meant(row: Row, changes: Sequence[Change]) -> bool:
    return all(_was(change, _shown(row, change)) or _is_now(change, _shown(row, change)) for change in changes)


def _is_now(change: Change, value: str) -> bool:
    return _same(change, change.asserted, value)


def _was(change: Change, value: str) -> bool:
    return bool(change.current) and _same(change, str(change.current), value)


def _same(change: Change, one: str, other: str) -> bool:
    if kind := _CONTACTS.get(change.field):
        return spelled(kind, one) == spelled(kind, other)
    return nfc(one).split() == nfc(other).split()


def _expect(change: Change, *values: str) -> None:
    if change.current and not any(_was(change, value) for value in values):
        raise Refused(f"the CRM does not hold the {change.field} that is said to be wrong")


def _shown(row: Row, change: Change) -> str:
    line = change.field.removeprefix("address.")
    return (row["street"] or "") if line == "street" else lines(row).get(line, "")


def _line(change: Change) -> dict[str, str | None]:
    if change.field == "address.street":
        return {"street_unstructured": change.asserted, **dict.fromkeys(STREET_PARTS)}
    return {change.field.removeprefix("address."): change.asserted}


def _category(field: str) -> str:
    return "account" if field == "name" else "contact" if field in _CONTACTS else "address"
