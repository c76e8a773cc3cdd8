"""Corrections in Tryton (Art. 16): name, e-mail, phone and the lines of an address.

A contact is no assignment: whose a number is stands in a model of its own, which no correction touches.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from shared.domain.errors import Refused, ResidueFound
from shared.domain.identities import IdentityType
from shared.domain.operations import Change
from shared.domain.text import nfc
from shared.downstreams.contract import Checkpoint, Receipt, Result, Task
from shared.downstreams.http_client import failures_of
from shared.downstreams.results import of_corrections, of_whom_found, per_task
from shared.downstreams.standing import Standing
from shared.downstreams.tryton.party import STREET_PARTS, Address, Party, spelled
from shared.downstreams.tryton.rpc import TrytonRpc
from shared.downstreams.tryton.search import ADDRESS, CONTACT, PARTY, load
from shared.downstreams.tryton.subjects import Subjects

_CONTACTS: Final = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
_ROWS_OF_PARTY: Final = {CONTACT: "contact_mechanisms", ADDRESS: "addresses"}
FIELDS: Final = ("name", "email", "phone", "address.street", "address.postal_code", "address.city")


@dataclass(frozen=True, slots=True)
class Write:
    """One call that a change needs, for the version of its row that was read; without an id, a new row of the party.

    ``with_party``: it is made together with what else changes of the party, or not at all.
    """

    model: str
    row: int | None
    values: Mapping[str, Any]
    version: str = ""
    with_party: bool = False


async def rectify(rpc: TrytonRpc, subjects: Subjects, tasks: Sequence[Task], save_progress: Checkpoint) -> list[Result]:
    """Correct each task's party and read it again; all changes of a task are checked before the first is made."""
    hits = await subjects.of([task for task in tasks if "party" not in task.progress])
    found = {task_id: _not_merged(parties) for task_id, parties in hits.items()}
    known = {task.task_id: cast("int", task.progress["party"]) for task in tasks if "party" in task.progress}
    repeated = await load(rpc, known.values())
    found |= {task_id: (repeated[party],) if party in repeated else () for task_id, party in known.items()}
    # A corrected e-mail address no longer finds the party: the repeat needs its id. And whoever looks at our own tasks
    # between reading a version and changing it changes nothing that its heir, or a later request, has changed since.
    if noted := {task_id: {"party": parties[0].id} for task_id, parties in of_whom_found(found).items()}:
        await save_progress(noted)
    changes = {task.task_id: [change for change in task.changes if change.field in FIELDS] for task in tasks}
    subjects_found = of_whom_found(found)
    standing = Standing(subjects_found, save_progress, rpc.concurrency)

    async def correct(task_id: UUID, parties: Sequence[Party]) -> None:
        async with standing.step(task_id):
            await _correct(rpc, parties, changes[task_id])

    calls = {task_id: correct(task_id, parties) for task_id, parties in subjects_found.items()}

    def decide(task: Task, parties: Sequence[Party]) -> Receipt:
        categories = Counter(_category(change.field) for change in changes[task.task_id])
        shown = [int(change.field in FIELDS) for change in task.changes]
        return of_corrections(task, categories, shown, len(parties))

    return per_task(tasks, {**found, **await failures_of(calls)}, decide)


def _not_merged(parties: tuple[Party, ...] | Refused) -> tuple[Party, ...] | Refused:
    return parties if isinstance(parties, Refused) else tuple(p for p in parties if p.replaced_by is None)


async def _correct(rpc: TrytonRpc, parties: Sequence[Party], changes: Sequence[Change]) -> None:
    if len(parties) > 1:
        raise Refused("the subject has several customer accounts: say which one is wrong")
    if not changes:
        raise Refused("the request names no change")
    (party,) = parties
    for write in _together(party, writes(party, changes)):
        await rpc.write(write.model, [write.row or party.id], write.values, {write.row or party.id: write.version})
    now = (await load(rpc, [party.id])).get(party.id)
    if now is None or writes(now, changes):
        raise ResidueFound("the CRM accepted the correction and still shows the old value")


def _together(party: Party, found: Sequence[Write]) -> list[Write]:
    """The same with one call for the party itself, by which new rows of it are made too: they have no version."""
    values: dict[str, Any] = {}
    for write in found:
        if write.row is None:
            values.setdefault(_ROWS_OF_PARTY[write.model], []).append(["create", [write.values]])
        elif write.with_party:
            values.setdefault(_ROWS_OF_PARTY[write.model], []).append(["write", [write.row], write.values])
        elif write.model == PARTY:
            values |= write.values
    others = [write for write in found if write.row is not None and write.model != PARTY and not write.with_party]
    return [*([Write(PARTY, party.id, values, party.version)] if values else ()), *others]


def _is_now(change: Change, value: str) -> bool:
    return _same(change, change.asserted, value)


def _was(change: Change, value: str) -> bool:
    return bool(change.current) and _same(change, str(change.current), value)


def _same(change: Change, one: str, other: str) -> bool:
    if kind := _CONTACTS.get(change.field):
        return spelled(kind, one) == spelled(kind, other)
    return nfc(one).split() == nfc(other).split()


def writes(party: Party, changes: Sequence[Change]) -> list[Write]:
    """What to write so that the party shows what the subject says, if anything.

    Raises:
        Refused: it is unclear which value is wrong, or the CRM lets nobody change it.
    """
    found: list[Write] = []
    lines = [change for change in changes if change.field.startswith("address.")]
    for change in changes:
        if change.field == "name" and not _is_now(change, party.name):
            _expect(change, party.name)
            found.append(Write(PARTY, party.id, {"name": change.asserted}, party.version))
        elif change.field in _CONTACTS:
            found += _contact(party, change)
    found += _address(party, lines) if lines else ()
    if found and not party.active:
        raise Refused("the CRM locks closed accounts: reopen it, or correct it by hand")
    return found


def _contact(party: Party, change: Change) -> list[Write]:
    kind = _CONTACTS[change.field]
    in_use = [c for c in party.contacts if c.type is kind and c.active]
    if any(_is_now(change, contact.spelled) for contact in in_use):
        return []
    if not change.current and len(in_use) > 1:
        raise Refused(f"the customer has several of {change.field}: say which one is wrong")
    _expect(change, *(contact.spelled for contact in in_use))
    wrong = [contact for contact in in_use if _was(change, contact.spelled) or not change.current]
    if kind is IdentityType.EMAIL:  # what stands elsewhere under the former address is theirs, and must be found
        ended = [Write(CONTACT, row.id, {"active": False}, row.version, with_party=True) for row in wrong]
        return [*ended, Write(CONTACT, None, {"type": change.field, "value": change.asserted})]
    if not wrong:
        return [Write(CONTACT, None, {"type": change.field, "value": change.asserted})]
    return [Write(CONTACT, row.id, {"value": change.asserted}, row.version) for row in wrong]


def _address(party: Party, changes: Sequence[Change]) -> list[Write]:
    in_use = [address for address in party.addresses if address.active]
    meant = in_use if len(in_use) == 1 else [a for a in in_use if _meant(a, changes)]
    if len(meant) > 1 or (in_use and not meant):
        raise Refused("the customer has several addresses: say which one is wrong")
    if not meant:
        return [Write(ADDRESS, None, {k: v for c in changes for k, v in _line(c).items()})]
    wrong = [change for change in changes if not _is_now(change, _shown(meant[0], change))]
    for change in wrong:
        _expect(change, _shown(meant[0], change))
    values = {k: v for c in wrong for k, v in _line(c).items()}
    return [Write(ADDRESS, meant[0].id, values, meant[0].version)] if wrong else []


def _meant(address: Address, changes: Sequence[Change]) -> bool:
    return all(_was(change, _shown(address, change)) or _is_now(change, _shown(address, change)) for change in changes)


def _expect(change: Change, *values: str) -> None:
    if change.current and not any(_was(change, value) for value in values):
        raise Refused(f"the CRM does not hold the {change.field} that is said to be wrong")


def _shown(address: Address, change: Change) -> str:
    line = change.field.removeprefix("address.")
    return address.street if line == "street" else address.lines.get(line, "")


def _line(change: Change) -> dict[str, str | None]:
    if change.field == "address.street":
        return {"street_unstructured": change.asserted, **dict.fromkeys(STREET_PARTS)}
    return {change.field.removeprefix("address."): change.asserted}


def _category(field: str) -> str:
    return "account" if field == "name" else "contact" if field in _CONTACTS else "address"
