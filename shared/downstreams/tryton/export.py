"""A customer's data in words that the customer reads."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from pydantic import JsonValue

from shared.domain.identities import IdentityType
from shared.domain.release import ASSIGNED, Match
from shared.downstreams.contract import Record
from shared.downstreams.tryton.party import STREET_PARTS, Party

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Shown:
    """What else an account says: fields as people read them, states that keep data, days from which periods count."""

    fields: Mapping[str, JsonValue]
    states: Mapping[str, bool | None]
    days: Mapping[str, date | None]


def records(party: Party, source: str, facts: Shown | None = None) -> Iterator[Record]:
    """Account, contacts, assigned numbers, addresses and identifiers; ``facts``: what else the account says.

    What nobody gave us is not portable (Art. 20): flags of our own, and the numbers that we assigned.
    """
    held = [
        *((contact.type, contact.compact or contact.value) for contact in party.contacts),
        *((each.type, each.spelled) for each in party.assignments if each.valid_to is None),
    ]
    matched = tuple(Match(kind, value) for kind, value in [(IdentityType.ACCOUNT_ID, party.code), *held] if kind)
    told = (
        [Record("account", source, facts.fields, portable=False, states=facts.states)] if facts and facts.fields else []
    )
    days = {name: day for name, day in facts.days.items() if day} if facts else {}
    for record in (*_records(party, source), *told):
        yield replace(record, matched=(*matched, *record.matched), anchors=days)


def _records(party: Party, source: str) -> Iterator[Record]:
    yield Record("account", source, {"customer_number": party.code, "name": party.name})
    yield Record(
        "account",
        source,
        {"active": party.active, "processing_restricted": party.restricted, "no_marketing": party.marketing_opt_out},
        portable=False,
    )
    for contact in party.contacts:
        yield Record("contact", source, {"kind": contact.kind, "value": contact.value, "in_use": contact.active})
    for each in party.assignments:
        period = {"assigned_from": each.valid_from, "assigned_until": each.valid_to}
        known = {name: moment.isoformat() for name, moment in period.items() if moment is not None}
        last = each.valid_to - _INSTANT if each.valid_to else None
        held = (Match(ASSIGNED, each.spelled, each.valid_from), Match(ASSIGNED, each.spelled, last))
        shown = {"number": each.number, "line": each.line.value, **known}
        yield Record("assignment", source, shown, portable=False, matched=held)
    for address in party.addresses:
        if address.lines:
            lines = {"street": address.street, **address.lines}
            written = {field: text for field, text in lines.items() if text and field not in _PARTS_OF_STREET}
            yield Record("address", source, written)
    for kind, code in party.identifiers:
        yield Record("identifier", source, {"kind": kind, "code": code})


_PARTS_OF_STREET = {"street_unstructured", *STREET_PARTS}
