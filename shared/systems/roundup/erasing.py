"""Overwrites hundreds of records in one call, removes their history, and looks at what they say now."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from shared.domain.errors import AnswerMalformed, DataStillPresent, Refused, Unavailable
from shared.systems.contract import Checkpoint, Result
from shared.systems.engine.stepwise import ActiveTasks, Journal, PendingErasure
from shared.systems.roundup.tracker import (
    FIELDS,
    LEFT,
    ROWS,
    VALUES,
    Item,
    Tracker,
    batches,
    member,
    unlike,
)

Records = Mapping[str, Sequence[str]]
"""Ids by class."""
ERASED: Final = "[erased]"
_ERASED_FIRST: Final = ("file", "msg", "query", "issue")
_BLANK: Final[Mapping[str, Item]] = {
    "issue": {"title": ERASED},
    "msg": {"content": ERASED, "summary": ERASED, "messageid": "", "inreplyto": ""},
    "file": {"content": ERASED, "name": ERASED, "type": "text/plain"},
    "query": {"name": ERASED, "url": ""},
}


def blank(classname: str, identity: str, closed: str | None) -> Item:
    """The values that an erased record has; ``closed``: the id of the status that a ticket gets, if there is one."""
    if classname == "user":
        empty = dict.fromkeys(("phone", "organisation", "alternate_addresses", "timezone"), "")
        named = {"username": f"erased-{identity}", "realname": ERASED, "address": f"erased-{identity}@erased.invalid"}
        return {**named, **empty}
    return {**_BLANK[classname], "status": closed} if classname == "issue" and closed else _BLANK[classname]


class TicketEraser:
    """Overwrites people in one tracker: their records first, so that a repeat still finds the owner."""

    def __init__(self, tracker: Tracker, save_progress: Checkpoint) -> None:
        self._tracker, self._save_progress = tracker, save_progress

    async def take_steps(self, journals: Sequence[Journal]) -> Mapping[UUID, Result]:
        """Overwrites all that was noted, and looks; of those that failed, or were withdrawn, the result."""
        by_task = {each.task.task_id: each for each in journals if each.noted.erasures}
        if not by_task:
            return {}
        tickets = any(each.of_place("issue") for each in by_task.values())
        closed = await self._tracker.closed_status() if tickets else None
        ended = await self._overwrite(by_task, closed)
        if written := [each for key, each in by_task.items() if key not in ended]:
            await self._tracker.of_records("forget", _all_of(written), FIELDS)
            ended |= await self._look(written, closed)
        return ended

    async def _overwrite(self, by_task: Mapping[UUID, Journal], closed: str | None) -> dict[UUID, Result]:
        """Returns the failed tasks; their users stay unchanged, so that a repeat finds them."""
        ended: dict[UUID, Result] = {}
        active_tasks = ActiveTasks(by_task, self._save_progress)
        for classes in (_ERASED_FIRST, ("user",)):
            wishes = [
                (task_id, each, _wish(each, journal, closed))
                for task_id, journal in by_task.items()
                for classname in classes
                for each in journal.of_place(classname)
            ]
            for batch in batches([wish for wish in wishes if wish[0] not in ended]):
                ended |= await active_tasks.withdrawn()
                if open_wishes := [wish for wish in batch if wish[0] not in ended]:
                    ended |= await self._together(open_wishes)
        return ended

    async def _together(self, wishes: Sequence[tuple[UUID, PendingErasure, Item]]) -> Mapping[UUID, Result]:
        try:
            asked = {"records": [record for *_, record in wishes], "staff": self._tracker.staff_roles}
            answer = await self._tracker.privacy("overwrite", asked, FIELDS)
        except (Unavailable, Refused) as failure:
            return {task_id: failure for task_id, *_ in wishes}
        reasons: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
        refused = set[int]()
        system = self._tracker.system
        for position, why in member(answer, "left", LEFT, system):
            if position >= len(wishes):
                raise AnswerMalformed(f"{system} left records as they were that it was not asked to overwrite")
            task_id, each, _ = wishes[position]
            reasons[task_id][f"{each.place} {why}"] += 1
            refused.add(position)
        for position, (_, each, _) in enumerate(wishes):
            each.step = int(position not in refused)
        return {task_id: Refused(_counted(whys)) for task_id, whys in reasons.items()}

    async def _look(self, written: Sequence[Journal], closed: str | None) -> Mapping[UUID, Result]:
        """Reads all of it again, with its history."""
        records, values_by_class = _all_of(written), defaultdict[str, dict[str, Item]](dict)
        fields = {classname: [*blank(classname, "0", closed)] for classname in records}
        for batch in batches([(classname, one) for classname, ids in records.items() for one in ids]):
            wanted = {"records": by_class(batch), "fields": fields}
            for classname, items in (await self._tracker.privacy("values", wanted, VALUES)).items():
                values_by_class[classname] |= items
        rows = await self._tracker.of_records("history", records, ROWS)
        results = {each.task.task_id: self._looked(each, values_by_class, rows, closed) for each in written}
        return {task_id: result for task_id, result in results.items() if result}

    def _looked(
        self,
        journal: Journal,
        values_by_class: Mapping[str, Mapping[str, Item]],
        rows: Mapping[str, Mapping[str, int]],
        closed: str | None,
    ) -> Result | None:
        noted, system = journal.noted, self._tracker.system
        lines = sum(rows.get(each.place, {}).get(str(each.id), 0) for each in noted.erasures)
        remaining = 0
        for each in noted.erasures:
            values = values_by_class[each.place].get(str(each.id))
            each.erased = values is not None and not unlike(values, blank(each.place, str(each.id), closed))
            remaining += not each.erased
        if remaining:
            return DataStillPresent(f"after the erasure {remaining} records of {system} still hold their data")
        if lines:
            return DataStillPresent(f"the history of {system} still has {lines} rows of these records")
        return None


def _wish(each: PendingErasure, journal: Journal, closed: str | None) -> Item:
    """A record as the tracker's route wants it: it is overwritten only while it belongs to one of the people."""
    people, values = [str(user.id) for user in journal.of_place("user")], blank(each.place, str(each.id), closed)
    retire = each.place == "user"
    return {"class": each.place, "id": str(each.id), "of": people, "values": values, "retire": retire}


def _counted(reasons: Counter[str]) -> str:
    kinds = ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
    return f"the tracker left {reasons.total()} records as they were: {kinds}"


def _all_of(journals: Iterable[Journal]) -> Records:
    return by_class({(each.place, str(each.id)) for journal in journals for each in journal.noted.erasures})


def by_class(names: Iterable[tuple[str, str]]) -> Records:
    """Ids by class, in their order."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for classname, one in sorted(names, key=lambda name: int(name[1])):
        ids[classname].append(one)
    return ids
