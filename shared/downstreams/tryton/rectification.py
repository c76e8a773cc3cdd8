"""Corrections in Tryton (Art. 16): name, e-mail, phone and the lines of an address."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from shared.domain.errors import Refused, ResidueFound, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, TaskOutcome
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.tryton.party import Address, Contact, Party, spelled
from shared.downstreams.tryton.rpc import TrytonRpc, together
from shared.downstreams.tryton.search import ADDRESS, CONTACT, PARTY, load
from shared.downstreams.tryton.subjects import Subjects

_CONTACTS: Final = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
_STREET: Final = ("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number")
FIELDS: Final = ("name", "email", "phone", "address.street", "address.postal_code", "address.city")


@dataclass(frozen=True, slots=True)
class Write:
    """One call that a change needs; without an id a new row of the party's."""

    model: str
    row: int | None
    values: Mapping[str, Any]


async def rectify(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint) -> list[Result]:
    """Correct each task's party and read it again; all changes of a task are checked before the first is made."""
    fresh = [task for task in tasks if "party" not in task.progress]
    found = {task_id: _not_merged(parties) for task_id, parties in (await subjects.of(fresh)).items()}
    # A corrected e-mail address no longer finds the party: the repeat needs its id.
    noted = {
        t: {"party": parties[0].id} for t, parties in found.items() if not isinstance(parties, Refused) and parties
    }
    if noted:
        await save_progress(noted)
    known = {task.task_id: cast("int", task.progress["party"]) for task in tasks if "party" in task.progress}
    repeated = await load(rpc, known.values())
    of_task: dict[UUID, tuple[Party, ...] | Refused] = {
        **found,
        **{task_id: (repeated[party],) for task_id, party in known.items() if party in repeated},
    }
    return await together(*(_one(rpc, task, of_task.get(task.task_id, ())) for task in tasks))


async def _one(rpc: TrytonRpc, task: Task, parties: tuple[Party, ...] | Refused) -> Result:
    if isinstance(parties, Refused):
        return parties
    if not parties:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    if len(parties) > 1:
        return Refused("the subject has several customer accounts: say which one is wrong")
    try:
        changes = changes_of(task)
        for write in writes(parties[0], changes):
            await _apply(rpc, parties[0], write)
        now = (await load(rpc, [parties[0].id])).get(parties[0].id)
        if now is None or writes(now, changes):
            return ResidueFound("the CRM accepted the correction and still shows the old value")
    except (Refused, Unavailable) as failure:
        return failure
    return Receipt.counted(task, TaskOutcome.AMENDED, Counter(_category(change.field) for change in changes))


def _not_merged(parties: tuple[Party, ...] | Refused) -> tuple[Party, ...] | Refused:
    return parties if isinstance(parties, Refused) else tuple(p for p in parties if p.replaced_by is None)


async def _apply(rpc: TrytonRpc, party: Party, write: Write) -> None:
    if write.row is None:
        await rpc.call(f"model.{write.model}.create", [{**write.values, "party": party.id}])
    else:
        await rpc.write(write.model, [write.row], write.values)


def changes_of(task: Task) -> Sequence[Change]:
    """The changes that the task asks for.

    Raises:
        Refused: there are none, or the CRM has no such field.
    """
    if any(change.field not in FIELDS for change in task.changes):
        raise Refused(f"the CRM has no field of that name; it can correct {', '.join(FIELDS)}")
    if not task.changes:
        raise Refused("the request names no change")
    return task.changes


def is_now(change: Change, value: str) -> bool:
    """Whether the value is already what the subject says."""
    return _same(change, change.asserted, value)


def was(change: Change, value: str) -> bool:
    """Whether the value is the one to correct."""
    return bool(change.current) and _same(change, str(change.current), value)


def _same(change: Change, one: str, other: str) -> bool:
    if kind := _CONTACTS.get(change.field):
        return spelled(kind, one) == spelled(kind, other)
    return one.split() == other.split()


def writes(party: Party, changes: Sequence[Change]) -> list[Write]:
    """What to write so that the party shows what the subject says, if anything.

    Raises:
        Refused: it is unclear which value is wrong, or the CRM lets nobody change it.
    """
    found: list[Write] = []
    lines = [change for change in changes if change.field.startswith("address.")]
    for change in changes:
        if change.field == "name" and not is_now(change, party.name):
            _expect(change, party.name)
            found.append(Write(PARTY, party.id, {"name": change.asserted}))
        elif change.field in _CONTACTS:
            found += _contact(party, change)
    found += _address(party, lines) if lines else ()
    if found and not party.active:
        raise Refused("the CRM locks closed accounts: reopen it, or correct it by hand")
    return found


def _contact(party: Party, change: Change) -> list[Write]:
    kind = _CONTACTS[change.field]
    in_use = [c for c in party.contacts if c.type is kind and c.active and c.valid_to is None]
    if any(is_now(change, contact.spelled) for contact in in_use):
        return []
    wrong: list[Contact] = [contact for contact in in_use if was(change, contact.spelled)]
    if not change.current and len(in_use) > 1:
        raise Refused(f"the customer has several of {change.field}: say which one is wrong")
    if change.current and not wrong:
        raise Refused(f"the CRM does not hold the {change.field} that is said to be wrong")
    rows = wrong or in_use
    if not rows:
        return [Write(CONTACT, None, {"type": change.field, "value": change.asserted})]
    return [Write(CONTACT, row.id, {"value": change.asserted}) for row in rows]


def _address(party: Party, changes: Sequence[Change]) -> list[Write]:
    in_use = [address for address in party.addresses if address.active]
    meant = in_use if len(in_use) == 1 else [a for a in in_use if _meant(a, changes)]
    if len(meant) > 1 or (in_use and not meant):
        raise Refused("the customer has several addresses: say which one is wrong")
    if not meant:
        return [Write(ADDRESS, None, {k: v for c in changes for k, v in _line(c).items()})]
    wrong = [change for change in changes if not is_now(change, _shown(meant[0], change))]
    for change in wrong:
        _expect(change, _shown(meant[0], change))
    return [Write(ADDRESS, meant[0].id, {k: v for c in wrong for k, v in _line(c).items()})] if wrong else []


def _meant(address: Address, changes: Sequence[Change]) -> bool:
    return all(was(change, _shown(address, change)) or is_now(change, _shown(address, change)) for change in changes)


def _expect(change: Change, value: str) -> None:
    if change.current and not was(change, value):
        raise Refused(f"the CRM does not hold the {change.field} that is said to be wrong")


def _shown(address: Address, change: Change) -> str:
    line = change.field.removeprefix("address.")
    return address.street if line == "street" else address.lines.get(line, "")


def _line(change: Change) -> dict[str, str | None]:
    if change.field == "address.street":
        return {"street_unstructured": change.asserted, **dict.fromkeys(_STREET)}
    return {change.field.removeprefix("address."): change.asserted}


def _category(field: str) -> str:
    return "account" if field == "name" else "contact" if field in _CONTACTS else "address"
