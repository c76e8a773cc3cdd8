"""What a tracker holds about people, as records that the subject can read (Art. 15, 20)."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import chain
from uuid import UUID

from pydantic import JsonValue

from shared.domain.identities import Identity, IdentityType
from shared.domain.release import Match
from shared.downstreams.contract import Record
from shared.downstreams.http_client import together
from shared.downstreams.roundup import directory
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.erasure import CATEGORIES, all_of
from shared.downstreams.roundup.subjects import Person, has
from shared.downstreams.roundup.sweeping import RESOLVED
from shared.downstreams.roundup.tracker import Item, Tracker

Holdings = Mapping[tuple[str, str], Record]
"""Records by class and id."""
Matches = Mapping[str, tuple[Match, ...]]
"""By what each person can be found, by id."""
_ITEMS, _FILES = 1_000, 4
"""How many are read at a time; files with their content."""
FIELDS = {
    "user": "username,realname,address,alternate_addresses,phone,organisation,timezone,creation,activity",
    "issue": "title,status,priority,keyword,messages,files,creation,activity",
    "msg": "author,date,content",
    "file": "name,type,creation",
    "query": "name,klass,url",
}
"""Names the fields that a copy shows of each class."""
WHOSE = {
    "issue": ("requester", "creator"),
    "msg": ("author",),
    "file": ("creator",),
    "query": ("private_for", "creator"),
}
"""Names the fields that say whose a record is."""
_BY_SOMEBODY = frozenset({"msg", "file"})
"""What somebody else may have put to a person's ticket: then it is not provided by that person (Art. 20)."""
_NOT_PROVIDED = {"issue": ("status", "priority", "keyword")}
"""What the service desk gives a ticket."""
_TELLING = {"issue": ("requester", "creator"), "msg": ("files",), "file": ("creator",), "query": WHOSE["query"]}
"""Fields that are read to tell whose a record is, and not shown."""
_TIMES = frozenset({"creation", "activity", "date"})
"""Fields with a time, which a tracker writes in UTC and without saying so."""


async def portions(
    tracker: Tracker, system: str, plans: Iterable[Records], people: Matches, resolved_on: str | None = None
) -> AsyncIterator[Holdings]:
    """Everything of several people, so many records at a time, accounts first; ``people`` are they themselves.

    ``resolved_on``: the field of a ticket with the time of its resolution, from which its period counts.
    """
    hanging: dict[tuple[str, str], str | None] = {}
    wanted = all_of(plans)
    for classname in (each for each in CATEGORIES if each in wanted):
        ids, many = list(wanted[classname]), _FILES if classname == "file" else _ITEMS
        for start in range(0, len(ids), many):
            some = ids[start : start + many]
            yield await _read(tracker, system, classname, some, people, hanging, resolved_on)


async def _read(
    tracker: Tracker,
    system: str,
    classname: str,
    ids: Sequence[str],
    people: Matches,
    hanging: dict[tuple[str, str], str | None],
    resolved_on: str | None,
) -> Holdings:
    """These of one class, in as few calls as REST allows; ``hanging``: whose it is what hangs on others."""
    found: dict[tuple[str, str], Record] = {}
    ended = [resolved_on] if resolved_on and classname == "issue" else []
    items = await tracker.read(classname, ids, ",".join((FIELDS[classname], *_TELLING.get(classname, ()), *ended)))
    contents = await together(*(tracker.content(item["id"]) for item in items)) if classname == "file" else []
    for at, item in enumerate(items):
        own, whose = _owner(classname, item), hanging.get((classname, str(item["id"])))
        owner = own if own in people else whose
        hanging |= dict.fromkeys(_hanging_on(item), owner)
        record = replace(_record(system, classname, item, own in people), matched=people.get(str(owner), ()))
        if ended and (resolved := instant(item.get(ended[0]))):
            record = replace(record, anchors={RESOLVED: resolved})
        if contents:
            record = replace(record, data={**record.data, "content_base64": b64encode(contents[at]).decode()})
        found[classname, str(item["id"])] = record
    return found


async def of_third(tracker: Tracker, held: Mapping[UUID, Records]) -> Mapping[UUID, Records]:
    """What third persons wrote or sent on each subject's tickets, and is not theirs."""
    people = chain.from_iterable(own.get("user", ()) for own in held.values())
    third = await directory.others(tracker, people)

    def beside(own: Records) -> Records:
        some = all_of(third[one] for one in own.get("user", ()))
        return {classname: sorted({*ids} - {*own.get(classname, ())}, key=int) for classname, ids in some.items()}

    return {key: beside(own) for key, own in held.items()}


def matches_of(person: Person, identities: Iterable[Identity]) -> tuple[Match, ...]:
    """By what a person can be found or told from others; a national number as the subject's that it is."""
    written = person.phone.lstrip().startswith("+")
    numbers = (
        [person.phone]
        if written
        else [each.value for each in identities if each.type is IdentityType.PHONE and has(person, each)]
    )
    return (
        *(Match(IdentityType.EMAIL, address) for address in sorted(person.addresses)),
        *(Match(IdentityType.PHONE, number) for number in numbers),
        *([Match(IdentityType.NAME, person.name)] if person.name else ()),
    )


def _record(system: str, classname: str, item: Item, own: bool) -> Record:  # noqa: FBT001  # of the subject's own
    data: dict[str, JsonValue] = {"id": str(item["id"])}
    data |= {key: _plain(item.get(key)) for key in FIELDS[classname].split(",")}
    data |= {key: at.isoformat() for key in _TIMES & data.keys() if (at := instant(data[key]))}
    if classname == "msg":
        data["author"] = "you" if own else "service desk"  # who of the staff wrote it is their own personal data
    portable = own or classname not in _BY_SOMEBODY
    return Record(CATEGORIES[classname], system, data, portable, not_provided=_NOT_PROVIDED.get(classname, ()))


def _hanging_on(item: Item) -> Sequence[tuple[str, str]]:
    """The messages and files of a ticket, and the files of a message."""
    links = (("msg", "messages"), ("file", "files"))
    return [(classname, _id(each)) for classname, field in links for each in item.get(field) or ()]


def _owner(classname: str, item: Item) -> str | None:
    """Whose a record is, as it says itself."""
    if classname == "user":
        return str(item["id"])
    return next((_id(item[key]) for key in WHOSE[classname] if item.get(key)), None)


def _id(link: JsonValue) -> str:
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
