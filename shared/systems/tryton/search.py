"""How customers are found in the CRM and read."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.domain.assignments import AssignedNumber, Line
from shared.domain.errors import AnswerMalformed, ForeignHit, SystemRefused
from shared.domain.identities import Identity, IdentityType
from shared.domain.text import forms
from shared.systems.http_client import together
from shared.systems.tryton import customer
from shared.systems.tryton.customer import (
    ADDRESS,
    ADDRESS_FIELDS,
    ASSIGNMENT,
    CONTACT,
    IDENTIFIER,
    PARTY,
    VERSION,
    Customer,
    Row,
    assignment,
    spelled,
)
from shared.systems.tryton.rpc import CHUNK, TrytonRpc

_PAGE: Final = 5_000
_ASSIGNED: Final = ("number", "valid_from", "valid_to", "line")
_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    CONTACT: ("party", "type", "value", "value_compact", "active", VERSION),
    ASSIGNMENT: ("party", *_ASSIGNED),
    ADDRESS: (*ADDRESS_FIELDS, "party", "active", "street", "country.name", VERSION),
    IDENTIFIER: ("party", "type", "code"),
}
_PARTY: Final = ("code", "name", "active", "restricted", "marketing_opt_out", "replaced_by", VERSION)
Named = tuple[IdentityType, str]
"""The type of an identity and its value, in its one spelling."""


class Search:
    """Reads one CRM; ``grounds``: the fields of a party that say why its data must stay."""

    def __init__(self, rpc: TrytonRpc, grounds: Sequence[str] = ()) -> None:
        self.rpc, self.grounds = rpc, grounds
        self._has_grounds = not grounds

    async def find(self, identities: Collection[Identity]) -> list[Customer]:
        """The customers who hold any of the identities, deactivated ones too, with their duplicates.

        Raises:
            ForeignHit: see ``holders``.
            SystemRefused: parties have no such grounds.
        """
        await self._must_have_grounds()
        held = await self.holders(identities)
        return await self.load(await self.with_duplicates(set().union(*held.values())))

    async def holders(self, identities: Collection[Identity]) -> Mapping[Named, Collection[int]]:
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
        shown, search = ("party", "type", "value", "value_compact"), self.rpc.search_in
        by_code, by_compact, by_value, by_user, by_number, *by_email = await together(
            search(PARTY, "code", codes, ("code",)),
            search(CONTACT, "value_compact", phones, shown),
            search(CONTACT, "value", phones, shown),
            search(CONTACT, "value", {*users, *(user.removeprefix("sip:") for user in users)}, shown),
            search(ASSIGNMENT, "number", phones | users, ("party", "number")),
            *(self.rpc.search(CONTACT, domain, shown) for domain in _emails(sorted(emails))),
        )
        held: defaultdict[Named, set[int]] = defaultdict(set)

        def note(kind: IdentityType, values: Iterable[str], party: int, searched: str) -> None:
            if searched and not values:
                raise ForeignHit(f"the CRM's search {searched} returned what nobody asked for")
            for value in values:
                held[kind, value].add(party)

        for row in by_code:
            note(IdentityType.ACCOUNT_ID, {row["code"]} & codes, row["id"], "by customer number")
        for row in (*by_compact, *by_value):
            note(IdentityType.PHONE, phones & _spelled(IdentityType.PHONE, row), row["party"], "by number")
        for row in by_user:
            user = {spelled(IdentityType.SIP_URI, row["value"] or "")}
            note(IdentityType.SIP_URI, users & user, row["party"], "by SIP address")
        for row in by_number:
            kind = IdentityType.SIP_URI if row["number"] in users else IdentityType.PHONE
            note(kind, {row["number"]} & (phones | users), row["party"], "of assigned numbers")
        for row in (row for chunk in by_email for row in chunk):
            note(IdentityType.EMAIL, emails & _spelled(IdentityType.EMAIL, row), row["party"], "")
        return held

    async def load(self, ids: Iterable[int]) -> list[Customer]:
        """The customers whose parties have these ids, with all that belongs to those; one that was deleted is none."""
        wanted = set(ids)
        parties, *rows = await together(
            self.rpc.search_in(PARTY, "id", wanted, _PARTY, more=self.grounds),
            *(self.rpc.search_in(model, "party", wanted, fields) for model, fields in _ROWS.items()),
        )
        for row in rows[1]:
            _line(row)
        return customer.together(parties, dict(zip(_ROWS, rows, strict=True)))

    async def with_duplicates(self, ids: Iterable[int]) -> set[int]:
        """The parties, those that were merged into them, and those that they were merged into."""
        known, fresh = set[int](), set(ids)
        while fresh:
            known |= fresh
            into, merged = await together(
                self.rpc.search_in(PARTY, "id", fresh, ("replaced_by",)), self._merged_into(fresh)
            )
            fresh = ({row["replaced_by"] for row in into} | {row["id"] for row in merged}) - known - {None}
        return known

    async def with_merged(self, ids: Iterable[int]) -> set[int]:
        """The parties, and those that were merged into them."""
        known, fresh = set[int](), set(ids)
        while fresh:
            known |= fresh
            fresh = {row["id"] for row in await self._merged_into(fresh)} - known
        return known

    async def _merged_into(self, ids: Collection[int]) -> list[Row]:
        return await self.rpc.search_in(PARTY, "replaced_by", ids, ("id",))

    async def assigned(self, system: str) -> list[AssignedNumber]:
        """Every number and SIP address that is or was assigned, with its period and the customer number."""
        read: list[AssignedNumber] = []
        async for rows in self._pages(ASSIGNMENT, [], (*_ASSIGNED, "party.code"), _PAGE):
            for row in rows:
                each, line = assignment(row), _line(row)
                if code := row["party."]["code"]:
                    number = Identity(each.type, each.value, each.since, each.until, system)
                    read.append(AssignedNumber(number, code, line))
        return read

    async def wanting_marketing(self) -> AsyncIterator[list[Customer]]:
        """Every party in use that bears no mark against marketing, with what it is reached by; page by page."""
        wanting = [["marketing_opt_out", "!=", True], ["active", "=", True]]
        async for rows in self._pages(PARTY, wanting, ["id"], CHUNK):
            yield await self.load(row["id"] for row in rows)

    async def _pages(
        self, model: str, domain: Sequence[Any], fields: Sequence[str], size: int
    ) -> AsyncIterator[list[Row]]:
        last = 0
        while rows := await self.rpc.search(model, [["id", ">", last], *domain], fields, size):
            last = rows[-1]["id"]
            yield rows

    async def _must_have_grounds(self) -> None:
        if self._has_grounds:
            return
        domain = [["model", "=", PARTY], ["name", "in", list(self.grounds)]]
        fields = {row["name"] for row in await self.rpc.search("ir.model.field", domain, ("name",))}
        if lacking := sorted({*self.grounds} - fields):
            raise SystemRefused(f"the CRM has no field {', '.join(lacking)} of a party: declare grounds as it has them")
        self._has_grounds = True


def _emails(emails: Sequence[str]) -> Iterator[list[Any]]:
    for start in range(0, len(emails), CHUNK):
        chunk = emails[start : start + CHUNK]
        patterns = [e.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") for e in chunk]
        yield [["OR", ["value", "in", chunk], *(["value_compact", "ilike", pattern] for pattern in patterns)]]


def _spelled(kind: IdentityType, row: Row) -> set[str]:
    return {spelled(kind, row[field] or "") for field in ("value", "value_compact")}


def _line(row: Row) -> Line:
    try:
        return Line(row["line"])
    except ValueError:
        raise AnswerMalformed("the CRM gives a kind of line that is none") from None
