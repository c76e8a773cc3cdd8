"""What a tracker holds about people, as records that the subject can read (Art. 15, 20)."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from shared.downstreams.contract import Record
from shared.downstreams.http_client import together
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.erasure import CATEGORIES, all_of
from shared.downstreams.roundup.tracker import Item, Tracker

Holdings = Mapping[tuple[str, str], Record]
"""Records by class and id."""
_FIELDS = {
    "user": "username,realname,address,alternate_addresses,phone,organisation,timezone,creation,activity",
    "issue": "title,status,priority,keyword,messages,files,creation,activity",
    "msg": "author,date,content",
    "file": "name,type,creation",
    "query": "name,klass,url",
}


async def holdings(tracker: Tracker, system: str, plans: Iterable[Records], owners: Iterable[str]) -> Holdings:
    """Everything of several people in as few calls as REST allows; ``owners`` are the people themselves."""
    people = frozenset(owners)
    found: dict[tuple[str, str], Record] = {}
    for classname, ids in all_of(plans).items():
        items = await tracker.read(classname, ids, _FIELDS[classname])
        contents = await together(*(tracker.content(item["id"]) for item in items)) if classname == "file" else []
        for at, item in enumerate(items):
            record = _record(system, classname, item, people)
            if contents:
                record = replace(record, data={**record.data, "content_base64": b64encode(contents[at]).decode()})
            found[classname, str(item["id"])] = record
    return found


def of(records: Records, holdings: Holdings) -> Sequence[Record]:
    """One person's share, account first."""
    return [holdings[key, one] for key in CATEGORIES for one in records.get(key, ()) if (key, one) in holdings]


def _record(system: str, classname: str, item: Item, people: frozenset[str]) -> Record:
    data: dict[str, JsonValue] = {"id": str(item["id"])}
    data |= {key: _plain(item.get(key)) for key in _FIELDS[classname].split(",")}
    if classname != "msg":
        return Record(CATEGORIES[classname], system, data)
    own = (item["author"] or {}).get("id") in people
    data["author"] = "you" if own else "service desk"  # who of the staff wrote it is their own personal data
    return Record(CATEGORIES[classname], system, data, portable=own)


def _plain(value: JsonValue) -> JsonValue:
    """A link by its name, else its id; everything else as it is."""
    match value:
        case dict():
            return str(value.get("name") or value.get("id"))
        case list():
            return [_plain(one) for one in value]
        case _:
            return value
