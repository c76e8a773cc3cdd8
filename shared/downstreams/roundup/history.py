"""The history of what is a person's in a tracker, as they read it: who changed what, when, and what it said before.

An erasure removes it with the record, so a copy shows it: of the fields that a copy of the record shows.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from shared.domain.policy import Other
from shared.domain.release import WITHHELD, withholds
from shared.downstreams.contract import Record
from shared.downstreams.roundup.answers import CHANGES, Change, Links
from shared.downstreams.roundup.erasure import CATEGORIES, HISTORY
from shared.downstreams.roundup.export import FIELDS, WHOSE, instant
from shared.downstreams.roundup.tracker import CHUNK, Tracker, batches

Key = tuple[str, str]
"""The class and the id of a record."""
_LINKED = frozenset({"link", "unlink"})
"""Another record leads to this one from now on, or does so no more."""


async def changes(tracker: Tracker, records: Sequence[Key]) -> Mapping[Key, Sequence[Change]] | None:
    """The rows of the history of each record; ``None`` where the tracker has no route for it."""
    found: dict[Key, Sequence[Change]] = {}
    for some in batches(records, CHUNK):
        asked: defaultdict[str, list[str]] = defaultdict(list)
        for classname, one in some:
            asked[classname].append(one)
        answer = await tracker.privacy("changes", {"records": asked, "staff": tracker.staff_roles}, CHANGES)
        if answer is None:
            return None
        found |= {(kind, one): answer.get(kind, {}).get(one, []) for kind, one in some}
    return found


def rows(key: Key, record: Record, said: Sequence[Change], people: Collection[str]) -> Iterator[Record]:
    """The history of a record of ``people``, the latest first: each row is found and kept as the record is.

    What it said while it was another person's is withheld (Art. 15(4)), and so is who of other people changed it.
    """
    theirs, created = True, any(done == "create" and user in people for _, user, _, done, _ in said)
    for change in reversed(said):
        at, user, is_staff, done, values = change
        theirs = _were_theirs(key[0], values, people, afterwards=theirs, created=created)
        former = _former(key[0], change, people)
        former = former if theirs else dict.fromkeys(former, WITHHELD)
        by = "you" if user in people else "service desk" if is_staff else WITHHELD
        moment = instant(at)
        data: dict[str, JsonValue] = {"record": CATEGORIES[key[0]], "id": key[1]}
        data |= {"changed_at": moment.isoformat() if moment else at, "changed_by": by, "change": done, "former": former}
        hidden = {"changed_by": Other.OTHERS} if by == WITHHELD else {}
        hidden |= {"former": Other.OTHERS} if withholds({"former": former}) else {}
        yield replace(record, category=HISTORY, data=data, portable=by == "you", not_provided=(), hidden=hidden)


def _were_theirs(
    classname: str, values: Mapping[str, object], people: Collection[str], *, afterwards: bool, created: bool
) -> bool:
    """Whether a record was theirs before a change of these former values; what names no owner is its creator's."""
    owner = next((values[field] for field in WHOSE.get(classname, ()) if field in values), None)
    if not isinstance(owner, list):
        return afterwards
    return owner[0][2] in people if owner else created


def _former(classname: str, change: Change, people: Collection[str]) -> dict[str, JsonValue]:
    """Returns the former values by field; of a link from another record its number, by kind."""
    *_, done, values = change
    if done in _LINKED:
        links = [value for value in values.values() if isinstance(value, list)]
        return {CATEGORIES.get(each[0][1], each[0][1]): _links(each, people) for each in links if each}
    shown = {field: values[field] for field in FIELDS[classname].split(",") if field in values}
    return {field: _links(value, people) if isinstance(value, list) else value for field, value in shown.items()}


def _links(links: Links, people: Collection[str]) -> list[JsonValue]:
    """Names what a field led to, or gives its number; of people, only whether it was they."""
    named: list[JsonValue] = []
    for sign, classname, identity, name in links:
        of_others = classname == "user" and identity not in people
        named.append(WITHHELD if of_others else f"{sign}{name or identity}")
    return named
