"""A CRM that speaks the part of Tryton's JSON-RPC that our adapter uses, and answers in five milliseconds.

Benches use it instead of Tryton: the adapter makes the same calls (searches in bulk, one run of the erase wizard per
customer, bulk deletes, all read again), so only our own time is measured.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from starlette.requests import Request

from tests.fakes.slow_answers import SlowApplication
from tests.fixtures.stores import Subject

Row = dict[str, Any]
SINCE = {"__class__": "datetime", "year": 2020, "month": 1, "day": 1}
_INDEXED = {
    "party.party": ("id", "code", "replaced_by"),
    "party.contact_mechanism": ("party", "value", "value_compact"),
    "number.assignment": ("party", "number"),
    "party.address": ("party",),
    "party.identifier": ("party",),
}


class Model:
    """Rows by id, found by the fields that the adapter searches by."""

    def __init__(self, indexed: Iterable[str], rows: Iterable[Row]) -> None:
        self.rows: dict[int, Row] = {}
        self._index: dict[str, dict[Any, set[int]]] = {field: {} for field in indexed}
        for row in rows:
            self.put(row)

    def put(self, row: Row) -> None:
        self.drop(row["id"])
        self.rows[row["id"]] = row
        for field, ids in self._index.items():
            ids.setdefault(row[field], set()).add(row["id"])

    def drop(self, row_id: int) -> None:
        if row := self.rows.pop(row_id, None):
            for field, ids in self._index.items():
                ids[row[field]].discard(row_id)

    def search(self, clause: list[Any]) -> set[int]:
        """``["OR", clause, …]``, ``[field, "in", values]`` or ``[field, "ilike", pattern without wildcards]``."""
        match clause:
            case ["OR", *clauses]:
                return set().union(*map(self.search, clauses))
            case [field, "ilike", pattern]:
                return self._index[field].get(pattern.replace("\\", ""), set())
            case [field, _, values]:
                return set().union(*(self._index[field].get(value, ()) for value in values))
            case _:
                raise ValueError(clause)


class Crm:
    """Customers with an e-mail address, a number that is assigned to them, and a postal address each."""

    def __init__(self, subjects: int) -> None:
        people = [(number + 1, Subject(number)) for number in range(subjects)]
        flags = {"active": True, "restricted": False, "marketing_opt_out": False, "replaced_by": None}
        rows: Mapping[str, list[Row]] = {
            "party.party": [
                {"id": i, "code": one.account_id, "name": f"Subject {one.number}", **flags} for i, one in people
            ],
            "party.contact_mechanism": [
                _contact(2 * i + n, i, kind, value)
                for i, one in people
                for n, (kind, value) in enumerate((("email", one.email), ("phone", one.phone)))
            ],
            "number.assignment": [
                {"id": i, "party": i, "number": one.phone, "valid_from": SINCE, "valid_to": None, "line": "personal"}
                for i, one in people
            ],
            "party.address": [
                {"id": i, "party": i, "active": True, "street": "", "city": "Berlin", "party_name": one.email}
                for i, one in people
            ],
            "party.identifier": [],
        }
        self.models = {name: Model(indexed, rows[name]) for name, indexed in _INDEXED.items()}

    def left(self) -> int:
        """Parties that still have a name, contacts and assigned numbers."""
        names = sum(bool(party["name"]) for party in self.models["party.party"].rows.values())
        return names + sum(len(self.models[name].rows) for name in ("party.contact_mechanism", "number.assignment"))

    async def answer(self, request: Request) -> tuple[int, Any]:
        """The answer to a call; the last parameter is the context, which says nothing new."""
        call = orjson.loads(await request.body())
        return 200, {"id": call["id"], "result": self._call(call["method"], call["params"][:-1])}

    def _call(self, method: str, params: list[Any]) -> Any:
        if method == "common.db.login":
            return [1, "session"]
        name, _, verb = method.removeprefix("model.").rpartition(".")
        match verb:
            case "search_read":
                return self._read(self.models[name], params[0], params[4])
            case "write":
                for ids, values in zip(params[::2], params[1::2], strict=True):
                    for row_id in ids:
                        self.models[name].put({**self.models[name].rows[row_id], **values})
            case "delete" if name in self.models:
                for row_id in params[0]:
                    self.models[name].drop(row_id)
            case "create":
                return ["wizard", "ask", "end"]
            case "execute":
                self._erase(params[1]["ask"]["party"])
        return None

    @staticmethod
    def _read(model: Model, domain: list[Any], fields: list[str]) -> list[Row]:
        ids = set.intersection(*map(model.search, domain))
        plain = [field for field in fields if "." not in field]
        return [{"id": i, "country.": None, **{f: model.rows[i].get(f) for f in plain}} for i in sorted(ids)]

    def _erase(self, party: int) -> None:
        """Does only what Tryton's wizard does: the compact values and the customer number stay."""
        parties, contacts = self.models["party.party"], self.models["party.contact_mechanism"]
        addresses = self.models["party.address"]
        parties.put({**parties.rows[party], "name": None})
        for row_id in list(contacts.search(["party", "in", [party]])):
            contacts.put({**contacts.rows[row_id], "value": None})
        for row_id in list(addresses.search(["party", "in", [party]])):
            addresses.put({**addresses.rows[row_id], "city": None, "party_name": None})


def _contact(row_id: int, party: int, kind: str, value: str) -> Row:
    said = {"type": kind, "value": value, "value_compact": value}
    return {"id": row_id, "party": party, **said, "active": True}


def application(subjects: int) -> SlowApplication:
    """The CRM with so many customers."""
    crm = Crm(subjects)
    return SlowApplication(crm.answer, crm.left)
