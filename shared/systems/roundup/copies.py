"""Copies what a tracker holds about people into records for the subject (Art. 15, 20), with their history.

An erasure removes the history with its record, so a copy shows it, limited to fields that a copy of the record shows.
"""

from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from shared.domain.policy import Other
from shared.domain.release import WITHHELD, Match, withholds
from shared.systems.contract import CopiedRecord
from shared.systems.roundup.tracker import RESOLVED, HistoryRow, Item, Links

CATEGORIES: Final[Mapping[str, str]] = {
    "user": "requester",
    "issue": "ticket",
    "msg": "message",
    "file": "file",
    "query": "saved_search",
}
"""Names the category of each class, in the order in which the subject reads them."""
HISTORY: Final = "history"
"""The category of the rows that tell what was changed of these."""
_FIELDS: Final[Mapping[str, str]] = {
    "user": "username,realname,address,alternate_addresses,phone,organisation,timezone,creation,activity",
    "issue": "title,status,priority,keyword,messages,files,creation,activity",
    "msg": "author,date,content",
    "file": "name,type,creation",
    "query": "name,klass,url",
}
"""Names the fields that a copy shows of each class."""
_WHOSE: Final[Mapping[str, Sequence[str]]] = {
    "issue": ("requester", "creator"),
    "msg": ("author",),
    "file": ("creator",),
    "query": ("private_for", "creator"),
}
"""Names the fields that say whose a record is."""
_BY_ANYONE: Final = frozenset({"msg", "file"})
"""Records that another person may have added to a ticket; those are not provided by the subject (Art. 20)."""
_NOT_PROVIDED: Final = {"issue": ("status", "priority", "keyword")}
"""Fields of a ticket that the service desk sets."""
_TIMES: Final = frozenset({"creation", "activity", "date"})
"""Fields with a time, which a tracker writes in UTC and without saying so."""
_LINKED: Final = frozenset({"link", "unlink"})
"""Another record leads to this one from now on, or does so no more."""


def fields_of(classname: str, resolved_on: str | None) -> str:
    """The fields that are read for a copy; ``resolved_on``: that of a ticket with the time of its resolution."""
    ended = [resolved_on] if resolved_on and classname == "issue" else []
    return ",".join(dict.fromkeys((*_FIELDS[classname].split(","), *_WHOSE.get(classname, ()), *ended)))


def copy(
    system: str,
    classname: str,
    item: Item,
    people: Collection[str],
    matched: tuple[Match, ...],
    *,
    resolved_on: str | None = None,
    content: bytes | None = None,
) -> CopiedRecord:
    """A record of one of these people, who are one subject; ``content``: the bytes of a file."""
    own = _owner(classname, item) in people
    data: dict[str, JsonValue] = {"id": str(item["id"])}
    data |= {key: _plain(item.get(key)) for key in _FIELDS[classname].split(",")}
    data |= {key: at.isoformat() for key in _TIMES & data.keys() if (at := instant(data[key]))}
    if classname == "msg":
        data["author"] = "you" if own else "service desk"  # who of the staff wrote it is their own personal data
    if content is not None:
        data["content_base64"] = b64encode(content).decode()
    resolved = instant(item.get(resolved_on)) if resolved_on and classname == "issue" else None
    return CopiedRecord(
        *(CATEGORIES[classname], system, data, own or classname not in _BY_ANYONE, matched),
        not_provided=_NOT_PROVIDED.get(classname, ()),
        anchors={RESOLVED: resolved} if resolved else {},
    )


def history(
    system: str, name: tuple[str, str], rows: Sequence[HistoryRow], people: Collection[str], matched: tuple[Match, ...]
) -> Iterator[CopiedRecord]:
    """The history of a record of these people, the latest first.

    What it said while it was another person's is withheld (Art. 15(4)), and so is who of other people changed it.
    """
    was_theirs, created = True, any(done == "create" and user in people for _, user, _, done, _ in rows)
    for change in reversed(rows):
        at, user, is_staff, done, values = change
        was_theirs = _were_theirs(name[0], values, people, afterwards=was_theirs, created=created)
        former = _former(name[0], change, people)
        former = former if was_theirs else dict.fromkeys(former, WITHHELD)
        by = "you" if user in people else "service desk" if is_staff else WITHHELD
        moment = instant(at)
        data: dict[str, JsonValue] = {"record": CATEGORIES[name[0]], "id": name[1]}
        data |= {"changed_at": moment.isoformat() if moment else at, "changed_by": by, "change": done, "former": former}
        hidden = {"changed_by": Other.OTHERS} if by == WITHHELD else {}
        hidden |= {"former": Other.OTHERS} if withholds({"former": former}) else {}
        yield CopiedRecord(HISTORY, system, data, by == "you", matched, hidden=hidden)


def _were_theirs(
    classname: str, values: Mapping[str, object], people: Collection[str], *, afterwards: bool, created: bool
) -> bool:
    """Whether a record was theirs before a change of these former values; what names no owner is its creator's."""
    owner = next((values[field] for field in _WHOSE.get(classname, ()) if field in values), None)
    if not isinstance(owner, list):
        return afterwards
    return owner[0][2] in people if owner else created


def _former(classname: str, change: HistoryRow, people: Collection[str]) -> dict[str, JsonValue]:
    """Returns the former values by field; of a link from another record its number, by kind."""
    *_, done, values = change
    if done in _LINKED:
        links = [value for value in values.values() if isinstance(value, list)]
        return {CATEGORIES.get(each[0][1], each[0][1]): _links(each, people) for each in links if each}
    shown = {field: values[field] for field in _FIELDS[classname].split(",") if field in values}
    return {field: _links(value, people) if isinstance(value, list) else value for field, value in shown.items()}


def _links(links: Links, people: Collection[str]) -> list[JsonValue]:
    """Names what a field led to, or gives its number; of people, only whether it was they."""
    named: list[JsonValue] = []
    for sign, classname, identity, name in links:
        of_others = classname == "user" and identity not in people
        named.append(WITHHELD if of_others else f"{sign}{name or identity}")
    return named


def _owner(classname: str, item: Item) -> str | None:
    """Returns the ID of the record's owner, as the record names it."""
    if classname == "user":
        return str(item["id"])
    link = next((item[key] for key in _WHOSE[classname] if item.get(key)), None)
    return str(link["id"] if isinstance(link, dict) else link)


def instant(value: JsonValue) -> datetime | None:
    """A time as a tracker writes it; None where it is none."""
    try:
        return datetime.strptime(f"{value}+0000", "%Y-%m-%d.%H:%M:%S%z")
    except ValueError:
        return None


def _plain(value: JsonValue) -> JsonValue:
    """A link by its name, else its id; everything else as it is."""
    match value:
        case dict():
            return str(value.get("name") or value.get("id"))
        case list():
            return [_plain(one) for one in value]
        case _:
            return value
