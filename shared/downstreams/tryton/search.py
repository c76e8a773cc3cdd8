"""How customers are found in the CRM and read."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from shared.domain.assignments import AssignedNumber, Line
from shared.domain.errors import AnswerMalformed, ForeignHit
from shared.domain.identities import Identity, IdentityType
from shared.domain.text import forms, nfc
from shared.downstreams.http_client import together
from shared.downstreams.tryton.party import STREET_PARTS, Address, Contact, NumberAssignment, Party, spelled
from shared.downstreams.tryton.rpc import CHUNK, VERSION, Row, TrytonRpc

PARTY: Final = "party.party"
CONTACT: Final = "party.contact_mechanism"
ASSIGNMENT: Final = "number.assignment"
ADDRESS: Final = "party.address"
IDENTIFIER: Final = "party.identifier"
ADDRESS_FIELDS: Final = (
    *("party_name", "attn", "street_unstructured", *STREET_PARTS),
    *("post_box", "private_bag", "post_office", "postal_code", "city"),
)
_ASSIGNED: Final = ("number", "valid_from", "valid_to", "line")
_PAGE: Final = 5_000
Named = tuple[IdentityType, str]
"""The type of an identity and its value, in its one spelling."""
Held = TypeVar("Held")


async def find(rpc: TrytonRpc, identities: Sequence[Identity]) -> list[Party]:
    """The parties that hold any of the identities, deactivated ones too, with their duplicates.

    Raises:
        ForeignHit: see ``holders``.
    """
    held = await holders(rpc, identities)
    return list((await load(rpc, await with_duplicates(rpc, set().union(*held.values())))).values())


async def holders(rpc: TrytonRpc, identities: Collection[Identity]) -> Mapping[Named, Collection[int]]:
    """The ids of the parties that hold each of the identities, deactivated ones too.

    E-mail is compared by ``ilike``, so a hit that differs in more than case is dropped. Numbers, SIP addresses
    and codes are compared exactly.

    Raises:
        ForeignHit: the search ignores its filter, since it returned what nobody asked for.
    """
    kinds = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID, IdentityType.SIP_URI)
    emails, phones, codes, users = (
        {form for each in identities if each.type is kind for form in forms(each.value)} for kind in kinds
    )
    shown = ("party", "type", "value", "value_compact")
    by_code, by_compact, by_value, by_user, by_number, *by_email = await together(
        rpc.search_in(PARTY, "code", codes, ("code",)),
        rpc.search_in(CONTACT, "value_compact", phones, shown),
        rpc.search_in(CONTACT, "value", phones, shown),
        rpc.search_in(CONTACT, "value", {*users, *(user.removeprefix("sip:") for user in users)}, shown),
        rpc.search_in(ASSIGNMENT, "number", phones | users, ("party", "number")),
        *(rpc.search(CONTACT, domain, shown) for domain in _emails(sorted(emails))),
    )
    held: defaultdict[Named, set[int]] = defaultdict(set)
    for row in by_code:
        held[IdentityType.ACCOUNT_ID, row["code"]].add(row["id"])
    if any(row["code"] not in codes for row in by_code):
        raise ForeignHit("the CRM's search by customer number returned other customers")
    for row in (*by_compact, *by_value):
        numbers = phones & {spelled(IdentityType.PHONE, row[field] or "") for field in ("value", "value_compact")}
        if not numbers:
            raise ForeignHit("the CRM's search by number returned other numbers")
        _note(held, IdentityType.PHONE, numbers, row)
    for row in by_user:
        if (user := spelled(IdentityType.SIP_URI, row["value"] or "")) not in users:
            raise ForeignHit("the CRM's search by SIP address returned other addresses")
        _note(held, IdentityType.SIP_URI, {user}, row)
    for row in by_number:
        if row["number"] not in phones | users:
            raise ForeignHit("the CRM's search of assigned numbers returned other numbers")
        kind = IdentityType.SIP_URI if row["number"] in users else IdentityType.PHONE
        _note(held, kind, {row["number"]}, row)
    for row in (row for chunk in by_email for row in chunk):
        addresses = {spelled(IdentityType.EMAIL, row[field] or "") for field in ("value", "value_compact")}
        _note(held, IdentityType.EMAIL, emails & addresses, row)
    return held


def _note(held: Mapping[Named, set[int]], kind: IdentityType, values: Iterable[str], row: Row) -> None:
    for value in values:
        held[kind, value].add(row["party"])


async def load(rpc: TrytonRpc, ids: Iterable[int]) -> dict[int, Party]:
    """The parties of these ids with all that belongs to them; one that was deleted is not among them."""
    wanted = set(ids)
    lines = (*ADDRESS_FIELDS, "party", "active", "street", "country.name", VERSION)
    contact = ("party", "type", "value", "value_compact", "active", VERSION)
    shown = ("code", "name", "active", "restricted", "marketing_opt_out", "replaced_by", VERSION)
    parties, contacts, assignments, addresses, identifiers = await together(
        rpc.search_in(PARTY, "id", wanted, shown),
        rpc.search_in(CONTACT, "party", wanted, contact),
        rpc.search_in(ASSIGNMENT, "party", wanted, ("party", *_ASSIGNED)),
        rpc.search_in(ADDRESS, "party", wanted, lines),
        rpc.search_in(IDENTIFIER, "party", wanted, ("party", "type", "code")),
    )
    contacts_of, addresses_of = _by_party(contacts, _contact), _by_party(addresses, _address)
    assignments_of = _by_party(assignments, _assignment)
    identifiers_of = _by_party(identifiers, lambda row: (row["type"] or "", row["code"] or ""))
    return {
        row["id"]: Party(
            id=row["id"],
            code=nfc(row["code"] or ""),
            name=row["name"] or "",
            active=row["active"],
            restricted=bool(row["restricted"]),
            marketing_opt_out=bool(row["marketing_opt_out"]),
            replaced_by=row["replaced_by"],
            contacts=tuple(contacts_of[row["id"]]),
            assignments=tuple(assignments_of[row["id"]]),
            addresses=tuple(addresses_of[row["id"]]),
            identifiers=tuple(identifiers_of[row["id"]]),
            version=row[VERSION] or "",
        )
        for row in parties
    }


async def assigned(rpc: TrytonRpc, system: str) -> list[AssignedNumber]:
    """Every number and SIP address that is or was assigned, with its period and the customer number of its party."""
    shown = (*_ASSIGNED, "party.code")
    read: list[AssignedNumber] = []
    last = 0
    while rows := await rpc.search(ASSIGNMENT, [["id", ">", last]], shown, _PAGE):
        last = rows[-1]["id"]
        for row in rows:
            each = _assignment(row)
            if code := row["party."]["code"]:
                number = Identity(each.type, each.spelled, each.valid_from, each.valid_to, system)
                read.append(AssignedNumber(number, code, each.line))
    return read


async def wanting_marketing(rpc: TrytonRpc) -> AsyncIterator[list[Party]]:
    """Every party in use that bears no mark against marketing, with what it is reached by; page by page."""
    last = 0
    while rows := await rpc.search(
        PARTY, [["id", ">", last], ["marketing_opt_out", "!=", True], ["active", "=", True]], ["id"], CHUNK
    ):
        last = rows[-1]["id"]
        yield list((await load(rpc, [row["id"] for row in rows])).values())


async def with_duplicates(rpc: TrytonRpc, ids: Iterable[int]) -> set[int]:
    """The parties, those that were merged into them, and those that they were merged into."""
    known, fresh = set[int](), set(ids)
    while fresh:
        known |= fresh
        into, merged = await together(
            rpc.search_in(PARTY, "id", fresh, ("replaced_by",)), rpc.search_in(PARTY, "replaced_by", fresh, ("id",))
        )
        fresh = ({row["replaced_by"] for row in into} | {row["id"] for row in merged}) - known - {None}
    return known


def _emails(emails: list[str]) -> Iterable[list[Any]]:
    for start in range(0, len(emails), CHUNK):
        chunk = emails[start : start + CHUNK]
        patterns = [e.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for e in chunk]
        yield [["OR", ["value", "in", chunk], *(["value_compact", "ilike", pattern] for pattern in patterns)]]


def _by_party(rows: Iterable[Row], read: Callable[[Row], Held]) -> defaultdict[int, list[Held]]:
    held: defaultdict[int, list[Held]] = defaultdict(list)
    for row in rows:
        held[row["party"]].append(read(row))
    return held


def _contact(row: Row) -> Contact:
    return Contact(
        id=row["id"],
        kind=row["type"],
        value=row["value"] or "",
        compact=row["value_compact"] or "",
        active=row["active"],
        version=row[VERSION] or "",
    )


def _assignment(row: Row) -> NumberAssignment:
    since = _moment(row["valid_from"])
    try:
        line = Line(row["line"])
    except ValueError:
        raise AnswerMalformed("the CRM gives a kind of line that is none") from None
    if since is None:
        raise AnswerMalformed("the CRM gives an assigned number that begins at no time")
    return NumberAssignment(row["id"], nfc(row["number"] or ""), since, _moment(row["valid_to"]), line)


def _address(row: Row) -> Address:
    shown = {**row, "country": (row.get("country.") or {}).get("name")}
    lines = {field: shown[field] for field in (*ADDRESS_FIELDS, "country") if shown[field]}
    return Address(row["id"], row["active"], row["street"] or "", lines, row[VERSION] or "")


def _moment(value: Row | None) -> datetime | None:
    """A time as Tryton's JSON has it: its parts in UTC, and ``__class__``."""
    if value is None:
        return None
    try:
        return datetime(**{part: number for part, number in value.items() if part != "__class__"}, tzinfo=UTC)
    except (TypeError, ValueError, OverflowError):
        raise AnswerMalformed("the CRM gives a period that begins or ends at no time") from None
