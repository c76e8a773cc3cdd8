"""Calls to Tryton's JSON-RPC, with a session that is renewed when it has ended; and how customers are found there."""

import asyncio
import re
from base64 import b64encode
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import httpx

from shared.domain.assignments import AssignedNumber, Line
from shared.domain.errors import AnswerMalformed, Refused, SystemRefused, Unavailable, WrongPersonMatch
from shared.domain.identities import Identity, IdentityType
from shared.domain.text import forms
from shared.systems.http_client import SIGN_IN, HttpClient, run_together
from shared.systems.settings import AnswerLimits
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

CHUNK: Final = 500
_NOTHING: Final = type(None)
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "id": (int,),
    "party": (int,),
    "active": (bool,),
    "restricted": (bool, _NOTHING),
    "marketing_opt_out": (bool, _NOTHING),
    "replaced_by": (int, _NOTHING),
    "valid_from": (dict, _NOTHING),
    "valid_to": (dict, _NOTHING),
    "country.": (dict, _NOTHING),
    "party.": (dict,),
}
_TEXT: Final = (str, _NOTHING)
"""Types of any other field."""
Versions = Mapping[str, str]
"""The version of a row by its model and id."""
EVEN_INACTIVE: Final = {"active_test": False}
"""Without it a search hides what was deactivated; a clause on ``active`` reaches no further than its own OR or AND."""


class CrmRefused(Refused):
    """The CRM answered with a refusal of its own; the message says why without naming the customer."""


class TrytonRpc:
    """One user's access to one Tryton database; at most ``concurrency`` calls at a time.

    ``session``: of the last sign-in. Tryton reads all sessions of a user with each call, and keeps them for a month.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        database: str,
        login: str,
        password: str,
        concurrency: int,
        limits: AnswerLimits | None = None,
    ) -> None:
        limits = limits or AnswerLimits()
        sign_in = "check login and password"
        self._client = HttpClient("the CRM", client, sign_in=sign_in, limits=limits, refused=CrmRefused)
        self._path = f"/{database}/rpc/"
        self._login = login
        self._password = password
        self.concurrency = concurrency
        self._turns = asyncio.Semaphore(concurrency)
        self._signing_in = asyncio.Lock()
        self.session: str | None = None

    async def call(self, method: str, *params: Any, unless_changed: Versions | None = None) -> Any:
        """Returns the result of a method.

        ``unless_changed``: row versions on which the call depends; it changes nothing if they differ.

        Raises:
            Unavailable: the CRM is away or busy, or another transaction was in the way
            CrmRefused: the CRM refuses the call
            AnswerMalformed: the answer does not fit a call, or is too large
        """
        context = {**EVEN_INACTIVE, VERSION: unless_changed} if unless_changed else EVEN_INACTIVE
        async with self._turns:
            used = await self._signed_in(None)
            response = await self._post(method, [*params, context], used)
            if response.status_code in SIGN_IN:
                response = await self._post(method, [*params, context], await self._signed_in(used))
        return self._answer(response, method)

    async def search(
        self,
        model: str,
        domain: Sequence[Any],
        fields: Sequence[str],
        limit: int | None = None,
        more: Sequence[str] = (),
    ) -> list[Row]:
        """Rows of the model, deactivated ones too, in the order of their ids; at most so many.

        ``more``: fields that may hold anything.

        Raises:
            AnswerMalformed: it gives no rows of that kind, or one of them twice.
        """
        method = f"model.{model}.search_read"
        rows = await self.call(method, list(domain), 0, limit, [["id", "ASC"]], [*fields, *more])
        return _rows(rows, fields, model)

    async def search_in(
        self, model: str, field: str, values: Iterable[Any], fields: Sequence[str], more: Sequence[str] = ()
    ) -> list[Row]:
        """Returns rows whose field has one of the values, in chunks.

        Raises:
            WrongPersonMatch: the search ignored its filter and returned other rows
        """
        wanted = sorted(known := set(values))
        rows: list[Row] = []
        for start in range(0, len(wanted), CHUNK):
            rows += await self.search(model, [[field, "in", wanted[start : start + CHUNK]]], fields, more=more)
        if field in {"id", "party"} & {"id", *fields} and any(row[field] not in known for row in rows):
            raise WrongPersonMatch(f"the CRM's search of {model} by {field} returned others")
        return rows

    async def write(
        self, model: str, ids: Sequence[int], values: Mapping[str, Any], seen: Versions | None = None
    ) -> None:
        """Give all these rows the same values; ``seen``: the versions that were read, which must still be the last."""
        for start in range(0, len(ids), CHUNK):
            await self.call(f"model.{model}.write", ids[start : start + CHUNK], values, unless_changed=seen)

    async def write_each(self, model: str, values: Mapping[int, Mapping[str, Any]]) -> None:
        """Give each row, by its id, values of its own."""
        rows = [([row_id], of_row) for row_id, of_row in sorted(values.items())]
        for start in range(0, len(rows), CHUNK):
            await self.call(f"model.{model}.write", *chain.from_iterable(rows[start : start + CHUNK]))

    async def delete(self, model: str, ids: Sequence[int]) -> None:
        """Remove the rows."""
        for start in range(0, len(ids), CHUNK):
            await self.call(f"model.{model}.delete", ids[start : start + CHUNK])

    async def _signed_in(self, ended: str | None) -> str:
        async with self._signing_in:
            if self.session is None or self.session == ended:
                response = await self._post("common.db.login", [self._login, {"password": self._password}, "en"], None)
                match self._answer(response, "common.db.login"):
                    case [int(user), str(session), *_]:
                        pass
                    case _:
                        raise AnswerMalformed("the CRM answers a sign-in with no session")
                token = b64encode(f"{self._login}:{user}:{session}".encode()).decode()
                self.session = f"Session {token}"
            return self.session

    async def _post(self, method: str, params: list[Any], authorization: str | None) -> httpx.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        body = {"id": 0, "method": method, "params": params}
        return await self._client.send("POST", self._path, json=body, headers=headers)

    def _answer(self, response: httpx.Response, method: str) -> Any:
        body = self._client.json(self._client.expect(response, f"to {method}"))
        if not isinstance(body, dict):
            raise AnswerMalformed(f"the CRM answers {method} with something that is no answer to a call")
        if "error" not in body:
            return body.get("result")
        match body["error"]:
            case ["UserError" | "UserWarning", [str(text), *_]]:
                raise CrmRefused(f"the CRM refused {method}: {reason_of(text)}")
            case ["ConcurrencyException", *_]:
                raise Unavailable("the customer was changed in the CRM meanwhile")
            case _:
                # a conflict with another transaction, or a failure of its own: what it says may hold a customer's data
                raise Unavailable(f"the CRM failed at {method}")


def _rows(answer: Any, fields: Sequence[str], model: str) -> list[Row]:
    types = [(name, _TYPES.get(name, _TEXT)) for name in ("id", *(_parent(field) for field in fields))]
    seen = set[int]()
    for row in answer if isinstance(answer, list) else (None,):
        if not isinstance(row, dict) or any(type(row.get(name)) not in allowed for name, allowed in types):
            raise AnswerMalformed(f"the CRM gives a row of {model} that is none, or a field of it in another type")
        if row["id"] in seen or row["id"] < 1:
            raise AnswerMalformed(f"the CRM gives a row of {model} twice, or under an id that is none")
        seen.add(row["id"])
    return list(answer)


def _parent(field: str) -> str:
    """The key under which a row has a field of what it points to: ``country.`` for ``country.name``."""
    return field[: field.index(".") + 1] if "." in field else field


def reason_of(text: str) -> str:
    """A refusal's reason in a word or two, so that no customer's name leaves the CRM with it."""
    if found := re.search(r"while they have ((?:pending|unpaid|open|draft) [a-z]+(?: [a-z]+)?)(?: with\b|[.]|$)", text):
        return found[1].replace(" ", "_")
    for sign, reason in _REASONS.items():
        if sign in text:
            return reason
    return "not_allowed"


_REASONS: Final = {
    "still active": "still_active",
    "don't exist": "no_such_record",
    "modify the field": "field_locked",
    "not allowed to": "no_access",
    "phone number": "invalid_phone_number",
    "email": "invalid_email",
    "is required": "value_required",
    "could not be deleted": "still_referenced",
}


# How customers are found, and read.

_PAGE: Final = 5_000
_ASSIGNED: Final = ("number", "valid_from", "valid_to", "line")
_ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    CONTACT: ("party", "type", "value", "value_compact", "active", VERSION),
    ASSIGNMENT: ("party", *_ASSIGNED),
    ADDRESS: (*ADDRESS_FIELDS, "party", "active", "street", "country.name", VERSION),
    IDENTIFIER: ("party", "type", "code"),
}
_PARTY: Final = ("code", "name", "active", "restricted", "marketing_opt_out", "replaced_by", VERSION)
IdentityKey = tuple[IdentityType, str]
"""The type of an identity and its value, in its one spelling."""


class CustomerSearch:
    """Reads one CRM; ``grounds``: the fields of a party that say why its data must stay."""

    def __init__(self, rpc: TrytonRpc, grounds: Sequence[str] = ()) -> None:
        self.rpc, self.grounds = rpc, grounds
        self._has_grounds = not grounds

    async def find(self, identities: Collection[Identity]) -> list[Customer]:
        """The customers who hold any of the identities, deactivated ones too, with their duplicates.

        Raises:
            WrongPersonMatch: see ``holders``.
            SystemRefused: parties have no such grounds.
        """
        await self._must_have_grounds()
        holders = await self.holders(identities)
        return await self.load(await self.with_duplicates(set().union(*holders.values())))

    async def holders(self, identities: Collection[Identity]) -> Mapping[IdentityKey, Collection[int]]:
        """Returns the IDs of the parties with each identity, including deactivated parties.

        E-mail is compared by ``ilike``, so a match that differs in more than case is dropped. Other identities are
        compared exactly.

        Raises:
            WrongPersonMatch: the search ignored its filter and returned other rows
        """
        kinds = (IdentityType.EMAIL, IdentityType.PHONE, IdentityType.ACCOUNT_ID, IdentityType.SIP_URI)
        emails, phones, codes, users = (
            {form for each in identities if each.type is kind for form in forms(each.value)} for kind in kinds
        )
        shown, search = ("party", "type", "value", "value_compact"), self.rpc.search_in
        by_code, by_compact, by_value, by_user, by_number, *by_email = await run_together(
            search(PARTY, "code", codes, ("code",)),
            search(CONTACT, "value_compact", phones, shown),
            search(CONTACT, "value", phones, shown),
            search(CONTACT, "value", {*users, *(user.removeprefix("sip:") for user in users)}, shown),
            search(ASSIGNMENT, "number", phones | users, ("party", "number")),
            *(self.rpc.search(CONTACT, domain, shown) for domain in _emails(sorted(emails))),
        )
        parties: defaultdict[IdentityKey, set[int]] = defaultdict(set)

        def note(kind: IdentityType, values: Iterable[str], party: int, searched: str) -> None:
            if searched and not values:
                raise WrongPersonMatch(f"the CRM's search {searched} ignored its filter")
            for value in values:
                parties[kind, value].add(party)

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
        return parties

    async def load(self, ids: Iterable[int]) -> list[Customer]:
        """The customers whose parties have these ids, with all that belongs to those; one that was deleted is none."""
        wanted = set(ids)
        parties, *rows = await run_together(
            self.rpc.search_in(PARTY, "id", wanted, _PARTY, more=self.grounds),
            *(self.rpc.search_in(model, "party", wanted, fields) for model, fields in _ROWS.items()),
        )
        for row in rows[1]:
            _line(row)
        return customer.merge_duplicates(parties, dict(zip(_ROWS, rows, strict=True)))

    async def with_duplicates(self, ids: Iterable[int]) -> set[int]:
        """The parties, those that were merged into them, and those that they were merged into."""
        known, fresh = set[int](), set(ids)
        while fresh:
            known |= fresh
            into, merged = await run_together(
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
        """Returns every number and SIP address ever assigned, with its period and customer number."""
        read: list[AssignedNumber] = []
        async for rows in self._pages(ASSIGNMENT, [], (*_ASSIGNED, "party.code"), _PAGE):
            for row in rows:
                each, line = assignment(row), _line(row)
                if code := row["party."]["code"]:
                    number = Identity(each.type, each.value, each.since, each.until, system)
                    read.append(AssignedNumber(number, code, line))
        return read

    async def wanting_marketing(self) -> AsyncIterator[list[Customer]]:
        """Yields pages of active parties without a mark against marketing, with their contact points."""
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
