"""Finding people and what belongs to them in a tracker: by its privacy routes, or by plain REST where it has none."""

from collections.abc import Iterable, Mapping, Sequence

import phonenumbers

from shared.domain.identities import Identity, IdentityType
from shared.domain.text import forms
from shared.downstreams.http_client import together
from shared.downstreams.roundup.answers import BELONGINGS, FIELDS, PEOPLE, member
from shared.downstreams.roundup.subjects import SUFFIX, Person, digits, searched
from shared.downstreams.roundup.tracker import Tracker

Records = Mapping[str, Sequence[str]]
"""Ids by class."""
_USER = "realname,address,alternate_addresses,phone"


async def people(tracker: Tracker, identities: Iterable[Identity]) -> Sequence[Person]:
    """Everybody who may have one of the identities; each must still be judged.

    Plain REST finds nobody who is retired.
    """
    keys = set(searched(identities))
    emails = sorted({form for key in keys if key.type is IdentityType.EMAIL for form in forms(key.value.casefold())})
    phones = sorted({key.value for key in keys if key.type is IdentityType.PHONE})
    if not keys:
        return ()
    asked = {"addresses": emails, "phones": [digits(phone)[-SUFFIX:] for phone in phones]}
    answer = await tracker.privacy("people", asked, FIELDS)
    if answer is not None:
        return [Person.read(fields) for fields in member(answer, "collection", PEOPLE, tracker.system)]
    searches = [("address", email) for email in emails] + [("alternate_addresses", email) for email in emails]
    searches += [("phone", spelling) for phone in phones for spelling in spellings(phone)]
    answers = await together(*(tracker.search("user", _USER, **{key: value}) for key, value in searches))
    found = {str(fields["id"]): Person.read(fields) for items in answers for fields in items}
    return list(found.values())


async def wanting_marketing(tracker: Tracker) -> Sequence[Person]:
    """Everybody in use who bears no mark against marketing."""
    users = await tracker.search("user", f"{_USER},marketing_opt_out")
    return [Person.read(fields) for fields in users if not fields.get("marketing_opt_out")]


async def records(tracker: Tracker, owners: Iterable[str]) -> Mapping[str, Records]:
    """For each of the people: their tickets with all that hangs on them, and what they wrote or sent elsewhere.

    What a third person wrote on their tickets is not theirs. Plain REST finds nothing that is retired.
    """
    return await _of_people(tracker, "records", owners)


async def others(tracker: Tracker, owners: Iterable[str]) -> Mapping[str, Records]:
    """For each of the people: messages and files of third persons on their tickets, which may speak of them."""
    return await _of_people(tracker, "others", owners)


async def _of_people(tracker: Tracker, route: str, owners: Iterable[str]) -> Mapping[str, Records]:
    ids = sorted(set(owners), key=int)
    if not ids:
        return {}
    answer = await tracker.privacy(route, {"people": ids, "staff": tracker.staff_roles}, BELONGINGS)
    if answer is not None:
        return by_owner(answer, ids)
    theirs, of_third = await _by_rest(tracker, ids)
    return by_owner(of_third if route == "others" else theirs, ids)


def by_owner(pairs: Mapping[str, Iterable[tuple[str, str]]], owners: Iterable[str]) -> Mapping[str, Records]:
    """Rows of (record, owner) for each class as the records of each of the owners, in the order of their ids."""
    owned: dict[str, dict[str, list[str]]] = {owner: {classname: [] for classname in pairs} for owner in owners}
    for classname, rows in pairs.items():
        for one, owner in sorted({(one, owner) for one, owner in rows}, key=lambda row: int(row[0])):
            if owner in owned:
                owned[owner][classname].append(one)
    return owned


Pairs = dict[str, set[tuple[str, str]]]


async def _by_rest(tracker: Tracker, ids: Sequence[str]) -> tuple[Pairs, Pairs]:
    """What is theirs, and what of third persons stands on their tickets: pairs of record and owner, by class."""
    tickets = await tracker.search_links("issue", "requester,messages,files", "requester", ids)
    messages = await tracker.search_links("msg", "author,files", "author", ids)
    files = await tracker.search_links("file", "creator", "creator", ids)
    queries = await tracker.search_links("query", "private_for", "private_for", ids)
    hanging = {(str(message), ticket["requester"]) for ticket in tickets for message in ticket["messages"]}
    said = await tracker.search_links("msg", "author,creator,files", "id", {message for message, _ in hanging})
    attached = {(str(file), ticket["requester"]) for ticket in tickets for file in ticket["files"]}
    writer = {str(message["id"]): str(message["author"] or message["creator"]) for message in said}
    attached |= {(str(f), owner) for m in said for f in m["files"] for one, owner in hanging if one == str(m["id"])}
    papers = await tracker.search_links("file", "creator", "id", {file for file, _ in attached})
    writers = {str(paper["id"]): {str(paper["creator"])} for paper in papers}
    for message in said:
        writers |= {str(file): {writer[str(m["id"])] for m in said if file in m["files"]} for file in message["files"]}
    everybody = {*writer.values(), *(each for some in writers.values() for each in some)}
    users = await tracker.search_links("user", "roles", "id", everybody)
    staff = {str(user["id"]) for user in users if tracker.is_staff(user.get("roles"))}
    third = {(one, owner) for one, owner in hanging if writer.get(one, "") not in {*staff, owner}}
    third_files = {(one, owner) for one, owner in attached if writers.get(one, {""}) - {*staff, owner}}
    theirs: Pairs = {
        "issue": {(ticket["id"], ticket["requester"]) for ticket in tickets},
        "msg": {(message["id"], message["author"]) for message in messages} | (hanging - third),
        "file": {(file["id"], file["creator"]) for file in files}
        | {(file, message["author"]) for message in messages for file in message["files"]}
        | (attached - third_files),
        "query": {(query["id"], query["private_for"]) for query in queries},
    }
    return theirs, {"msg": third, "file": third_files}


def spellings(e164: str) -> Sequence[str]:
    """The ways in which a number is likely to be written, for a search by substring."""
    number = phonenumbers.parse(e164, None)
    national = str(number.national_number)
    formats = (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return sorted({national, *(phonenumbers.format_number(number, written) for written in formats)})
