"""Models a customer of the CRM, with merged parties and all rows; decides which customer is the subject; pure.

Nothing is done to a customer who is not proven to be the subject. In order of weight:

- The customer number decides. One that the CRM itself gave earlier (``locate``), or that is proved (REQ-S1), decides
  alone. If it is only stated, an e-mail address or number must agree, unless the subject or the customer has none.
  Other customers who share one are left alone. Account IDs of other systems do not count here.
- Without one, a single customer with the e-mail address is the subject. So is a single customer with only the number,
  unless their e-mail addresses differ from the subject's: numbers are shared and reassigned.
- If several customers match, only the one with a match of every type that the subject gave.

A number or SIP address counts while it is assigned; a former holder is no match. An unassigned number, such as one of
another carrier, counts where it is entered as a contact. A corrected address is no match: it may always have been
another person's.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Final, NamedTuple

from shared.domain.errors import AnswerMalformed, Refused, SeveralPeople, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.operations import Change
from shared.domain.rights import NOTHING
from shared.domain.text import nfc
from shared.systems.engine.records import RecordField

Row = dict[str, Any]
VERSION: Final = "_timestamp"
"""When a row was last written, as Tryton tells it and compares it before it writes."""
PARTY: Final = "party.party"
CONTACT: Final = "party.contact_mechanism"
ASSIGNMENT: Final = "number.assignment"
ADDRESS: Final = "party.address"
IDENTIFIER: Final = "party.identifier"
STREET_PARTS: Final = ("street_name", "building_name", "building_number", "unit_number", "floor_number", "room_number")
"""Parts of a street that is not written as ``street_unstructured``."""
ADDRESS_FIELDS: Final = (
    *("party_name", "attn", "street_unstructured", *STREET_PARTS),
    *("post_box", "private_bag", "post_office", "postal_code", "city"),
)
KINDS: Final = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.SIP_URI)
"""Types of contact points."""
_TYPES: Final = {
    "email": IdentityType.EMAIL,
    "phone": IdentityType.PHONE,
    "mobile": IdentityType.PHONE,
    "fax": IdentityType.PHONE,
    "sip": IdentityType.SIP_URI,
}


class ContactPoint(NamedTuple):
    """A contact point of a customer, or a number ``assigned`` to them; half-open, UTC."""

    type: IdentityType
    value: str
    since: datetime | None = None
    until: datetime | None = None
    assigned: bool = False

    def lasts(self, moment: datetime | None) -> bool:
        """Whether it was assigned to them then or later; without a moment: whether no end is known."""
        return self.assigned and (self.until is None or (moment is not None and self.until > moment))

    def covers(self, identity: Identity) -> bool:
        """Whether it was theirs when that was the subject's; a contact shows the present."""
        since, until = identity.valid_from, identity.valid_to
        if not self.assigned or (since is None and until is None):
            return self.until is None and until is None
        began_before_it_ended = until is None or self.since is None or self.since < until
        return began_before_it_ended and (self.until is None or since is None or since < self.until)


@dataclass(frozen=True)
class Customer:
    """One customer; ``parties``: the one that speaks for all first, then those that were merged into it.

    ``rows``: what belongs to any of them, by model.
    """

    parties: Sequence[Row]
    rows: Mapping[str, Sequence[Row]]

    @property
    def party(self) -> Row:
        """Returns when each row was last written, by model and ID."""
        return self.parties[0]

    @property
    def versions(self) -> Mapping[str, str]:
        """Returns by model and id when each row was last written."""
        rows = [(PARTY, row) for row in self.parties] + [(model, row) for model, of in self.rows.items() for row in of]
        return {f"{model},{row['id']}": row[VERSION] for model, row in rows if row.get(VERSION)}

    @cached_property
    def codes(self) -> Sequence[str]:
        """Their customer numbers."""
        return [code for party in self.parties if (code := nfc(party["code"] or ""))]

    @cached_property
    def known(self) -> Sequence[ContactPoint]:
        """Returns the contact points; an assigned number counts by its assignment, not as a contact."""
        assigned = [assignment(row) for row in self.rows[ASSIGNMENT]]
        named = {(each.type, each.value) for each in assigned}
        contacts = (
            ContactPoint(kind, value_of(row), None, self._former_since(row))
            for row in self.rows[CONTACT]
            if (kind := type_of(row)) and (kind, value_of(row)) not in named
        )
        return [*contacts, *assigned]

    def has_number(self, now: datetime | None) -> bool:
        """Whether a number is assigned to them."""
        return any(each.lasts(now) for each in self.known)

    def _former_since(self, row: Row) -> datetime | None:
        """Returns since when an address is a former one: the time of its last change."""
        mails = [each for each in self.rows[CONTACT] if each["party"] == row["party"] and each["type"] == "email"]
        if row["type"] != "email" or row["active"] or not any(each["active"] for each in mails):
            return None
        try:
            return datetime.fromtimestamp(float(row[VERSION] or ""), UTC)
        except (ValueError, OverflowError):  # then it tells nothing of any time
            return datetime.min.replace(tzinfo=UTC)

    def identities(self, system: str) -> Iterator[Identity]:
        """Yields the customer number, every address, and every number with its periods."""
        yield from (Identity(IdentityType.ACCOUNT_ID, code, source=system) for code in self.codes)
        yield from (Identity(each.type, each.value, each.since, each.until, system) for each in self.known)

    def has(self, identity: Identity) -> bool:
        """Whether it is in any row of the customer, in any period."""
        if identity.type is IdentityType.ACCOUNT_ID:
            return identity.value in self.codes
        return any((each.type, each.value) == (identity.type, identity.value) for each in self.known)

    def agrees(self, identities: Iterable[Identity]) -> bool:
        """Whether one of these was theirs when it was the subject's."""
        return any(
            (each.type, each.value) == (identity.type, identity.value) and each.covers(identity)
            for identity in identities
            for each in self.known
        )

    def has_kind(self, kind: IdentityType) -> bool:
        """Whether something of that kind is theirs, or was assigned to them."""
        return any(each.type is kind and (each.assigned or each.until is None) for each in self.known)


def proven_customers(system: str, identities: Sequence[Identity], hits: Collection[Customer]) -> list[Customer]:
    """Returns the customers who are the subject.

    Raises:
        WrongPersonMatch: the matches could be another person's
        SeveralPeople: several match in part, and none in full
    """
    accounts = [i for i in identities if i.type is IdentityType.ACCOUNT_ID and i.source in {"requester", system}]
    certain = {i.value for i in accounts if i.source == system or i.level > NOTHING}
    by_kind = {kind: [i for i in identities if i.type is kind and _counts(i)] for kind in KINDS}
    wanted = {kind: those for kind, those in by_kind.items() if those}
    same = {id(each): {kind for kind, those in wanted.items() if each.agrees(those)} for each in hits}
    by_code = [each for each in hits if any(each.has(account) for account in accounts)]
    for each in by_code:
        differs = any(each.has_kind(kind) for kind in wanted)
        if differs and not same[id(each)] and certain.isdisjoint(each.codes):
            raise WrongPersonMatch("the customer number belongs to a party with other addresses and numbers")
    holders = [each for each in hits if same[id(each)]]
    if by_code or not holders:
        return by_code
    if accounts:
        raise WrongPersonMatch("no party has the customer number, and another holds an address or number of theirs")
    if len(holders) > 1:
        holders = [each for each in holders if len(same[id(each)]) == len(wanted)]
    if len(holders) != 1:
        raise SeveralPeople("several parties hold an address or number of the subject's, and none holds all alone")
    email = IdentityType.EMAIL
    if email in wanted and email not in same[id(holders[0])] and holders[0].has_kind(email):
        raise WrongPersonMatch("a party with other e-mail addresses holds a number of the subject's")
    return holders


def _counts(identity: Identity) -> bool:
    return identity.type is not IdentityType.EMAIL or identity.valid_to is None


def type_of(row: Row) -> IdentityType | None:
    """Returns the identity type of a contact, if it has one."""
    return _TYPES.get(row["type"] or "")


def value_of(row: Row) -> str:
    """A contact as identities are spelled."""
    return spelled(type_of(row), row["value_compact"] or row["value"] or "")


def assignment(row: Row) -> ContactPoint:
    """To whom a number, or a SIP address, was assigned, and when."""
    since, number = moment(row["valid_from"]), nfc(row["number"] or "")
    if since is None:
        raise AnswerMalformed("the CRM gives an assigned number that begins at no time")
    kind = IdentityType.SIP_URI if number.startswith("sip:") else IdentityType.PHONE
    return ContactPoint(kind, spelled(kind, number), since, moment(row["valid_to"]), assigned=True)


def lines(row: Row) -> dict[str, str]:
    """The lines of an address, without its country."""
    return {field: row[field] for field in ADDRESS_FIELDS if row[field]}


def country(row: Row) -> str | None:
    """The name of the country of an address."""
    return (row.get("country.") or {}).get("name")


def first_in_use(rows: Iterable[Row], *alike: str) -> set[int]:
    """Returns, of rows needed in general, the first of each kind in use."""
    first: dict[tuple[Any, ...], int] = {}
    for row in rows:
        if row["active"]:
            first.setdefault(tuple(row[name] for name in alike), row["id"])
    return {*first.values()}


def merge_duplicates(parties: Iterable[Row], rows: Mapping[str, Sequence[Row]]) -> list[Customer]:
    """The customers whose parties these are, each with those that were merged into theirs."""
    known = {row["id"]: row for row in parties}
    merged: dict[int, list[Row]] = {}
    for row in known.values():
        into, path = row, {row["id"]}
        while (after := known.get(into["replaced_by"])) is not None and after["id"] not in path:
            into, path = after, path | {after["id"]}
        merged.setdefault(min(path) if after else into["id"], []).append(row)
    whose = {row["id"]: head for head, theirs in merged.items() for row in theirs}
    of: dict[int, dict[str, list[Row]]] = {head: {model: [] for model in rows} for head in merged}
    for model, every in rows.items():
        for row in every:
            if row["party"] in whose:
                of[whose[row["party"]]][model].append(row)
    return [
        Customer(sorted(theirs, key=lambda row: (row["id"] != head, row["id"])), of[head])
        for head, theirs in merged.items()
    ]


def spelled(kind: IdentityType | None, value: str) -> str:
    """The one spelling of identities; what is no valid identity only loses its case and white space."""
    if kind is not None:
        with contextlib.suppress(MalformedIdentity):
            return normalise(kind, value)
    return nfc("".join(value.lower().split()))


def moment(value: Mapping[str, Any] | None) -> datetime | None:
    """A time as Tryton's JSON has it: its parts in UTC, and ``__class__``."""
    if value is None:
        return None
    try:
        return datetime(**{part: number for part, number in value.items() if part != "__class__"}, tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise AnswerMalformed("the CRM gives a period that begins or ends at no time") from None


def day(value: object) -> date | None:
    """A day as Tryton's JSON has it."""
    if not isinstance(value, Mapping):
        return None
    try:
        return date(*(int(value[part]) for part in ("year", "month", "day")))
    except (KeyError, TypeError, ValueError):
        return None


def amount(value: object) -> Decimal:
    """An amount as Tryton's JSON has it; an empty one is zero."""
    try:
        return Decimal(readable(value or 0))
    except InvalidOperation:
        raise AnswerMalformed("the CRM gives an amount that is no number") from None


def readable(value: object) -> str:
    """A day, an amount or a word as Tryton's JSON has it, in text."""
    if known := day(value):
        return known.isoformat()
    return str(value.get("decimal") if isinstance(value, Mapping) else value)


# What of a customer can be corrected (Art. 16), and how. A contact is no assignment: no correction touches whose a
# number is, which stands in a model of its own.

_CORRECTED: Final = {"email": IdentityType.EMAIL, "phone": IdentityType.PHONE}
_LINES: Final = ("street", "postal_code", "city")
_FIELDS: Final = ("name", *_CORRECTED, *(f"address.{line}" for line in _LINES))
_ROWS_OF_PARTY: Final = {CONTACT: "contact_mechanisms", ADDRESS: "addresses"}


def _same(name: str) -> Callable[[str, str], bool]:
    if kind := _CORRECTED.get(name):
        return lambda one, other: spelled(kind, one) == spelled(kind, other)
    return lambda one, other: nfc(one).split() == nfc(other).split()


_SAME: Final = {name: _same(name) for name in _FIELDS}
FIELDS: Final = tuple(RecordField(each, each, str, shown=False, rectifies=each, same=_SAME[each]) for each in _FIELDS)
"""Fields that a correction changes in a party; a copy shows the rows themselves instead."""


def correctable(customer: Customer, asked: Sequence[Change]) -> dict[str, str | None]:
    """Returns what a customer shows of each field; None: nothing.

    Raises:
        Refused: several rows could be meant
    """
    return {name: _shown(row, name) for name, row in _corrected_rows(customer, asked).items()}


def written(customer: Customer, values: Mapping[str, str | None], asked: Sequence[Change]) -> dict[str, Any]:
    """Returns the values to write into the party and its rows, all or nothing.

    Raises:
        Refused: the CRM does not allow the change
    """
    values_written: dict[str, Any] = {}
    rows: dict[str, list[Any]] = {CONTACT: [], ADDRESS: []}
    lines_written: dict[str, str | None] = {}
    meant = _corrected_rows(customer, asked) if values.keys() - {"name"} else {}
    for name, value in values.items():
        row = meant.get(name)
        if name == "name":
            values_written[name] = value
        elif name not in _CORRECTED:
            lines_written |= _line(name.removeprefix("address."), value)
        elif row and name == "phone":
            rows[CONTACT].append(["write", [row["id"]], {"value": value}])
        else:
            # What stands elsewhere under a former e-mail address is theirs, and must be found.
            rows[CONTACT] += [["write", [row["id"]], {"active": False}]] if row else []
            rows[CONTACT].append(["create", [{"type": name, "value": value}]])
    if lines_written:
        row = meant["address.street"]
        rows[ADDRESS].append(["write", [row["id"]], lines_written] if row else ["create", [lines_written]])
    values_written |= {_ROWS_OF_PARTY[model]: of_model for model, of_model in rows.items() if of_model}
    if any(values_written.values()) and not customer.party["active"]:
        raise Refused("the CRM locks closed accounts: reopen it, or correct it by hand")
    return values_written


def _corrected_rows(customer: Customer, asked: Sequence[Change]) -> dict[str, Row | None]:
    """The row that a correction of each field is about."""
    own = {m: [r for r in rows if r["party"] == customer.party["id"]] for m, rows in customer.rows.items()}
    in_use = {model: [row for row in own[model] if row["active"]] for model in (CONTACT, ADDRESS)}
    meant: dict[str, Row | None] = {"name": customer.party}
    for name, kind in _CORRECTED.items():
        meant[name] = _one_of([row for row in in_use[CONTACT] if type_of(row) is kind], [name], asked)
    names = [name for name in _FIELDS if name.startswith("address.")]
    return meant | dict.fromkeys(names, _one_of(in_use[ADDRESS], names, asked))


def _one_of(rows: Sequence[Row], names: Sequence[str], asked: Sequence[Change]) -> Row | None:
    wanted = [change for change in asked if change.field in names]
    if len(rows) < 2 or not wanted:  # noqa: PLR2004  # then it is that one, or none
        return rows[0] if len(rows) == 1 else None
    meant = [row for row in rows if all(_fits(row, change) for change in wanted)]
    if len(meant) != 1:
        field = wanted[0].field.partition(".")[0]
        raise Refused(f"the customer has several of {field}: say which one is wrong")
    return meant[0]


def _fits(row: Row, change: Change) -> bool:
    shown = _shown(row, change.field) or ""
    return any(_SAME[change.field](shown, value) for value in (change.current, change.asserted) if value)


def _shown(row: Row | None, name: str) -> str | None:
    if row is None:
        return None
    line = name.removeprefix("address.")
    return (row["name"] if name == "name" else row["value"] if name in _CORRECTED else _of_address(row, line)) or None


def _of_address(row: Row, line: str) -> str | None:
    return row["street"] if line == "street" else lines(row).get(line)


def _line(line: str, value: str | None) -> dict[str, str | None]:
    return {"street_unstructured": value, **dict.fromkeys(STREET_PARTS)} if line == "street" else {line: value}
