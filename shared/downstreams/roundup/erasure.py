"""Erasure in a tracker: what to do, by which values to overwrite it, remove its history, look again."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from shared.domain.errors import ResidueFound
from shared.downstreams.roundup.answers import ROWS, VALUES
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.tracker import Item, Tracker, batches, unlike

ERASED = "[erased]"
RESOLVED = "resolved"
"""The name of the status of a ticket that needs nothing more."""
# In the order in which the subject reads it.
CATEGORIES = {"user": "requester", "issue": "ticket", "msg": "message", "file": "file", "query": "saved_search"}
HISTORY = "history"
"""The category of the rows that tell what was changed of these."""
_BLANK: Mapping[str, Mapping[str, str]] = {
    "issue": {"title": ERASED},
    "msg": {"content": ERASED, "summary": ERASED, "messageid": "", "inreplyto": ""},
    "file": {"content": ERASED, "name": ERASED, "type": "text/plain"},
    "query": {"name": ERASED, "url": ""},
}


class Plan(BaseModel):
    """What an erasure has to do: the records by class (``user`` among them), and how much was found before it began.

    It is a task's progress: ids and counts, and none where there was no earlier attempt.
    """

    model_config = ConfigDict(frozen=True)

    records: Records = {}
    found: Mapping[str, int] = {}

    def lacking(self, records: Records) -> Records:
        """Those of the records that are not in the plan yet."""
        return {
            classname: [one for one in ids if one not in self.records.get(classname, ())]
            for classname, ids in records.items()
        }

    def plus(self, new: Records, history: Mapping[str, Mapping[str, int]]) -> "Plan":
        """The plan with further records and the rows of their history."""
        fresh = {CATEGORIES[classname]: len(ids) for classname, ids in new.items()}
        counts = Counter(self.found) + Counter({**fresh, HISTORY: _rows(history, new)})
        merged = all_of((self.records, new))
        return Plan(records={classname: ids for classname, ids in merged.items() if ids}, found=dict(counts))


def blank(classname: str, identity: str, closed: str | None) -> Mapping[str, str]:
    """The values that an erased record has; ``closed``: the id of the status that a ticket gets, if there is one."""
    if classname == "issue" and closed:
        return {**_BLANK[classname], "status": closed}
    if classname != "user":
        return _BLANK[classname]
    empty = dict.fromkeys(("phone", "organisation", "alternate_addresses", "timezone"), "")
    return {
        "username": f"erased-{identity}",
        "realname": ERASED,
        "address": f"erased-{identity}@erased.invalid",
        **empty,
    }


async def history(tracker: Tracker, plans: Iterable[Records]) -> Mapping[str, Mapping[str, int]] | None:
    """Rows of the history of records, by class and id; ``None`` where the tracker cannot tell."""
    return await tracker.privacy("history", {"records": all_of(plans)}, ROWS)


async def closed_status(tracker: Tracker) -> str | None:
    """The id of the status that keeps a ticket out of the queue: an erased one is finished for everybody."""
    found = await tracker.search("status", "name", **{"name:": RESOLVED})
    return next((str(each["id"]) for each in found if each.get("name") == RESOLVED), None)


async def left(tracker: Tracker, plans: Iterable[Records], closed: str | None) -> Mapping[str, frozenset[str]]:
    """The records, by class, that do not have their erased values when they are read again."""
    records = all_of(plans)
    says = await _values(tracker, records, closed)
    return {
        classname: frozenset(
            one
            for one in ids
            if one not in says[classname] or unlike(says[classname][one], blank(classname, one, closed))
        )
        for classname, ids in records.items()
    }


async def _values(tracker: Tracker, records: Records, closed: str | None) -> Mapping[str, Mapping[str, Item]]:
    """What the records say now, by class and id; by plain REST where the tracker has no route for it."""
    fields = {classname: list(blank(classname, "0", closed)) for classname in records}
    found: dict[str, dict[str, Item]] = {classname: {} for classname in records}
    for batch in batches([(classname, one) for classname, ids in records.items() for one in ids]):
        asked = defaultdict(list)
        for classname, one in batch:
            asked[classname].append(one)
        answer = await tracker.privacy("values", {"records": asked, "fields": fields}, VALUES)
        if answer is None:
            return {
                key: {str(item["id"]): _plain(item) for item in await tracker.read(key, ids, ",".join(fields[key]))}
                for key, ids in records.items()
            }
        for classname, items in answer.items():
            found.setdefault(classname, {}).update(items)
    return found


def _plain(item: Item) -> Item:
    """The fields of an item, of one that links to another that one's id alone."""
    return {name: value["id"] if isinstance(value, Mapping) else value for name, value in item.items()}


def residue(
    plan: Plan, remaining: Mapping[str, frozenset[str]], rows: Mapping[str, Mapping[str, int]] | None, still_found: int
) -> ResidueFound | None:
    """What looking again found of this plan: by the identities, in the records, in their history."""
    kept = sum(one in remaining.get(classname, ()) for classname, ids in plan.records.items() for one in ids)
    if kept or still_found:
        return ResidueFound(
            f"after the erasure {still_found} users are still found and {kept} records still hold their data"
        )
    if rows is None:
        records = sum(map(len, plan.records.values()))
        return ResidueFound(
            f"{records} records were overwritten, but the tracker keeps their former values in its history and has no "
            "route to remove them: put interfaces.py and lib of deploy/downstreams/roundup/tracker into its home and "
            "try again, or remove the rows of its journal tables by hand"
        )
    lines = _rows(rows, plan.records)
    return ResidueFound(f"the history of the tracker still has {lines} rows of these records") if lines else None


def _rows(history: Mapping[str, Mapping[str, int]], records: Records) -> int:
    return sum(history.get(classname, {}).get(one, 0) for classname, ids in records.items() for one in ids)


def all_of(plans: Iterable[Records]) -> dict[str, Sequence[str]]:
    """All records of several plans."""
    ids: dict[str, set[str]] = {}
    for records in plans:
        for classname, some in records.items():
            ids.setdefault(classname, set()).update(some)
    return {classname: sorted(some, key=int) for classname, some in ids.items()}
