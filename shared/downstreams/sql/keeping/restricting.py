"""What a legal hold keeps in face of an erasure is used for nothing else meanwhile: it is restricted, and counted."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from shared.domain.assignments import NUMBERS
from shared.domain.errors import ResidueFound
from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept
from shared.domain.policy import Policy
from shared.downstreams.contract import Receipt, Task
from shared.downstreams.sql.changing.switching import switching
from shared.downstreams.sql.changing.unswitched import reach
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.leading import Leading
from shared.downstreams.sql.keeping.rules import ruled
from shared.downstreams.sql.keeping.states import Said
from shared.downstreams.sql.keeping.staying import Counted, Stay
from shared.downstreams.sql.quoting import quoted
from shared.downstreams.sql.store import Session

Restricted = dict[UUID, dict[str, int]]
"""By task and category, how many of the rows that a hold keeps show it."""


def unused(session: Session, policy: Policy, stay: Sequence[Stay], task: Task, said: Sequence[Said]) -> list[Stay]:
    """What stays of a task for a legal hold alone, and what leads there; nothing that a state keeps in use besides.

    A contract that is active, or of which nobody could say that it is not, needs its customer, whatever a hold covers.
    """
    if not task.held:
        return []
    besides = ruled(session, policy, replace(task, held=frozenset()), said)
    used = {each.table.name for each in besides if isinstance(each, Held) and each.whole}
    held = {each.table.name for each in stay if isinstance(each, Held) and each.name == LEGAL_HOLD} - used
    idle = [each for each in stay if each.table.name not in used]
    return [each for each in idle if each.table.name in held or (isinstance(each, Leading) and each.because <= held)]


async def restrict(session: Session, held: Sequence[Stay], tasks: Sequence[Task], found: Counted) -> Restricted:
    """Restricts these rows, and stops marketing by them, where the store shows that; what shows it already counts too.

    Within the transaction of the caller.

    Raises:
        ResidueFound: a row does not show it afterwards.
    """
    shown: Restricted = {task.task_id: {} for task in tasks}
    for each, task in _theirs(held, tasks, found):
        keys = each.within.keys(task)
        for kind in ("restriction", "marketing"):
            switch = switching(each.within, keys, kind, task, wanted=True)
            if switch is None:
                continue
            await session.connection.execute(*switch.change)
            if await session.connection.fetchval(*switch.wrong):
                raise ResidueFound(f"{session.system} took the restriction of what a hold covers and does not show it")
            if kind == "restriction":
                rows = await session.connection.fetchval(*switch.found)
                category = each.table.table.category
                shown[task.task_id][category] = shown[task.task_id].get(category, 0) + rows
    _count_led(held, tasks, found, shown)
    await _hide_numbers(session, held, tasks, found, shown)
    return shown


def _count_led(held: Sequence[Stay], tasks: Sequence[Task], found: Counted, shown: Restricted) -> None:
    """Counts rows without a switch that lead to one: who reads them by way of it knows."""
    rows = {id(each): theirs for each, theirs in found}
    for task in tasks:
        mine = {each.table.name: each for each, _ in _theirs(held, [task], found)}
        reached = reach({name: each.table.table for name, each in mine.items()})
        for each in (mine[name] for name in reached if not mine[name].table.table.restriction):
            category, n = each.table.table.category, rows[id(each)][task.task_id].count
            shown[task.task_id][category] = shown[task.task_id].get(category, 0) + n


async def _hide_numbers(
    session: Session, held: Sequence[Stay], tasks: Sequence[Task], found: Counted, shown: Restricted
) -> None:
    """Where the read path obeys numbers in a table beside the data: theirs, each in its own time."""
    if (side := session.restriction) is None:
        return
    rows = {id(each): theirs for each, theirs in found}
    for task in tasks:
        mine = [each for each, _ in _theirs(held, [task], found) if each.table.name != side.table]
        kinds = frozenset(kind for each in mine for kind in each.table.types) & NUMBERS
        numbers = numbers_of(task, kinds)
        if not numbers:
            continue
        place = f"{quoted(session.settings.namespace)}.{quoted(side.table)}"
        columns = [[number[part] for number in numbers] for part in range(3)]
        names = ", ".join(quoted(name) for name in (side.request, side.number, side.valid_from, side.valid_to))
        values = "SELECT $1::uuid, * FROM unnest($2::text[], $3::timestamptz[], $4::timestamptz[])"
        put = f"INSERT INTO {place} ({names}) {values} ON CONFLICT DO NOTHING"
        await session.connection.execute(put, task.request_id, *columns)
        for each in (each for each in mine if not kinds.isdisjoint(each.table.types)):
            category = each.table.table.category
            n = rows[id(each)][task.task_id].count
            shown[task.task_id][category] = shown[task.task_id].get(category, 0) + n


def numbers_of(task: Task, kinds: frozenset[str]) -> list[tuple[str, datetime, datetime]]:
    """The subject's numbers in their periods, which end now at the latest: later calls are no part of the erasure."""
    dated = [(i.value, i.valid_from, i.valid_to) for i in task.identities if i.type in kinds and i.valid_from]
    now = task.at
    if now is None:
        return []
    ended = [(value, since, min(until or now, now)) for value, since, until in dated if since is not None]
    return list(dict.fromkeys(each for each in ended if each[1] < each[2]))


def _theirs(held: Sequence[Stay], tasks: Sequence[Task], found: Counted) -> Iterator[tuple[Stay, Task]]:
    rows = {id(each): theirs for each, theirs in found}
    yield from ((each, task) for each in held for task in tasks if task.task_id in rows.get(id(each), {}))


def told(receipt: Receipt, restricted: Mapping[str, int], covered: Collection[str]) -> Receipt:
    """The same, saying how much of what the hold keeps shows that it is restricted, of these categories."""
    if not receipt.kept:
        return receipt
    return replace(receipt, kept=tuple(_told(each, restricted, covered) for each in receipt.kept))


def _told(kept: Kept, restricted: Mapping[str, int], covered: Collection[str]) -> Kept:
    if kept.rule != LEGAL_HOLD or kept.category not in covered:
        return kept
    return kept.model_copy(update={"restricted": min(kept.count, restricted.get(kept.category or "", 0))})
