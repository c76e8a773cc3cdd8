"""A customer's data in words that the customer reads."""

from collections.abc import Iterator

from pydantic import JsonValue

from shared.downstreams.contract import Record
from shared.downstreams.tryton.party import Party


def records(party: Party, source: str) -> Iterator[Record]:
    """Account, contacts, addresses and identifiers; flags of our own are not portable: nobody gave them (Art. 20)."""
    yield Record("account", source, {"customer_number": party.code, "name": party.name})
    yield Record(
        "account",
        source,
        {"active": party.active, "processing_restricted": party.restricted, "no_marketing": party.marketing_opt_out},
        portable=False,
    )
    for contact in party.contacts:
        data: dict[str, JsonValue] = {"kind": contact.kind, "value": contact.value, "in_use": contact.active}
        if contact.valid_from is not None:
            data["assigned_from"] = contact.valid_from.isoformat()
        if contact.valid_to is not None:
            data["assigned_until"] = contact.valid_to.isoformat()
        yield Record("contact", source, data)
    for address in party.addresses:
        if address.lines:
            named = {"street": address.street} | {
                field: text for field, text in address.lines.items() if field not in _PARTS_OF_STREET
            }
            yield Record("address", source, {field: text for field, text in named.items() if text})
    for kind, code in party.identifiers:
        yield Record("identifier", source, {"kind": kind, "code": code})


_PARTS_OF_STREET = {
    *("street_unstructured", "street_name", "building_name", "building_number"),
    *("unit_number", "floor_number", "room_number"),
}
