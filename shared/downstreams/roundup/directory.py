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


async def records(tracker: Tracker, owners: Iterable[str]) -> Mapping[str, Records]:
    """For each of the people: their tickets with all that hangs on them, and what they wrote or sent elsewhere.

    Plain REST finds nothing that is retired.
    """
    ids = sorted(set(owners), key=int)
    if not ids:
        return {}
    answer = await tracker.privacy("records", {"people": ids}, BELONGINGS)
    return by_owner(await _by_rest(tracker, ids) if answer is None else answer, ids)


def by_owner(pairs: Mapping[str, Iterable[tuple[str, str]]], owners: Iterable[str]) -> Mapping[str, Records]:
    """Rows of (record, owner) for each class as the records of each of the owners, in the order of their ids."""
    owned: dict[str, dict[str, list[str]]] = {owner: {classname: [] for classname in pairs} for owner in owners}
    for classname, rows in pairs.items():
        for one, owner in sorted({(one, owner) for one, owner in rows}, key=lambda row: int(row[0])):
            if owner in owned:
                owned[owner][classname].append(one)
    return owned


async def _by_rest(tracker: Tracker, ids: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
    tickets = await tracker.search_links("issue", "requester,messages,files", "requester", ids)
    messages = await tracker.search_links("msg", "author,files", "author", ids)
    files = await tracker.search_links("file", "creator", "creator", ids)
    queries = await tracker.search_links("query", "private_for", "private_for", ids)
    return {
        "issue": {(ticket["id"], ticket["requester"]) for ticket in tickets},
        "msg": {(message["id"], message["author"]) for message in messages}
        | {(message, ticket["requester"]) for ticket in tickets for message in ticket["messages"]},
        "file": {(file["id"], file["creator"]) for file in files}
        | {(file, ticket["requester"]) for ticket in tickets for file in ticket["files"]}
        | {(file, message["author"]) for message in messages for file in message["files"]},
        "query": {(query["id"], query["private_for"]) for query in queries},
    }


def spellings(e164: str) -> Sequence[str]:
    """The ways in which a number is likely to be written, for a search by substring."""
    number = phonenumbers.parse(e164, None)
    national = str(number.national_number)
    formats = (phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    return sorted({national, *(phonenumbers.format_number(number, written) for written in formats)})
