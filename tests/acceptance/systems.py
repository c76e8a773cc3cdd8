"""The kinds of systems that hold people, and their state before and after a request."""

import asyncio
import itertools
import json
import socket
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import httpx
from aiokafka.errors import KafkaError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.demo.company import Customer, Phone
from deploy.demo.seed.crm import seed
from deploy.local.roundup import Roundup
from deploy.local.tryton import Tryton
from tests.acceptance.client import Person
from tests.fakes.bus_responder import Billing, serve
from tests.fixtures.mariadb import MariaDb
from tests.fixtures.serving import served

SINCE = datetime(2020, 1, 1, tzinfo=UTC)
BERLIN = "Berlin"
_ids = itertools.count(1)


@dataclass(frozen=True)
class Held:
    """A system's data of a person: rows and fields; None: it has no such field."""

    rows: int
    city: str | None = None
    restricted: bool | None = None
    marketing: bool | None = None


NOTHING = Held(0)


class System(Protocol):
    """One system that is connected: ``name`` in the downstreams file, its declaration there, and its variables."""

    name: str
    declaration: str

    @property
    def env(self) -> Mapping[str, str]: ...

    async def hold(self, person: Person) -> None:
        """Enters a person in Berlin who gets marketing."""

    async def held(self, person: Person) -> Held:
        """Returns what the system holds of a person."""


# SQL: PostgreSQL and MariaDB, the same dataset.

DATASET = """
name = "{name}"
[tables.customer]
category = "account"
primary_key = ["account_id"]
person = "account_id"
tenant = "tenant"
restrict = {{ restricted = true }}
no_marketing = {{ marketing = false }}
states.active_contract = {{ column = "contract", in = ["active"], over = ["ended", "disputed"] }}
states.dispute = {{ column = "contract", in = ["disputed"], over = ["active", "ended"] }}
[tables.customer.columns]
account_id = {{ class = "A", identity = "account_id", explain = "your customer number" }}
name = {{ class = "M", rectifies = "name", explain = "your name" }}
email = {{ class = "A", identity = "email", rectifies = "email", explain = "your e-mail address" }}
city = {{ class = "M", rectifies = "address.city", explain = "where you live" }}
contract = {{ class = "M", explain = "whether you have a contract" }}
restricted = {{ class = "T" }}
marketing = {{ class = "M", explain = "whether you get marketing" }}
tenant = {{ class = "T" }}
[tables.call_record]
ours = true
category = "call"
primary_key = ["id"]
on_erase = "blank"
at = {{ happened = "began" }}
[tables.call_record.parties.caller]
placeholders = [""]
withheld = {{ privacy = ["none"] }}
[tables.call_record.parties.callee]
placeholders = [""]
[tables.call_record.columns]
id = {{ class = "T" }}
began = {{ class = "M", explain = "when the call began" }}
caller = {{ class = "A", identity = "phone", party = "caller", others = "show", blank = "", explain = "the number that called" }}
callee = {{ class = "A", identity = "phone", party = "callee", others = "show", blank = "", explain = "the number that was called" }}
seconds = {{ class = "M", explain = "how long the call was" }}
network = {{ class = "A", identity = "phone", party = "caller", blank = "", explain = "your number as the network knew it" }}
privacy = {{ class = "M", party = "caller", blank = "none", explain = "whether you withheld your number" }}
noted = {{ class = "M", explain = "what the switch noted" }}
"""  # noqa: E501  # an inline table of TOML is one line
INVOICES = """
[tables.invoice]
ours = true
category = "billing"
primary_key = ["id"]
at = { happened = "ended", relationship_end = "ended" }
restrict = { restricted = true }
keep.mark = { kept = true }
keep.fields = { name = [], address = [], vat_number = [], amount = ["cents"], contract = ["ended"] }
[tables.invoice.columns]
id = { class = "T" }
email = { class = "A", identity = "email", explain = "your e-mail address" }
ended = { class = "M", explain = "when the contract ended" }
cents = { class = "M", explain = "the amount, in cents" }
note = { class = "C", explain = "what was noted" }
kept = { class = "T" }
restricted = { class = "T" }
[tables.delivery]
ours = true
category = "account"
primary_key = ["id"]
restrict = { restricted = true }
no_marketing = { marketing = false }
[tables.delivery.columns]
id = { class = "T" }
email = { class = "A", identity = "email", explain = "your e-mail address" }
city = { class = "M", rectifies = "address.city", explain = "where it was delivered" }
phone = { class = "A", identity = "phone", explain = "the number to call" }
restricted = { class = "T" }
marketing = { class = "M", explain = "whether you get marketing" }
tour = { class = "T" }
[tables.parcel]
ours = true
category = "ticket"
primary_key = ["id"]
belongs_to = [{ table = "delivery", on = { tour = "tour" } }]
restrict = { restricted = true }
[tables.parcel.columns]
id = { class = "T" }
tour = { class = "T" }
restricted = { class = "T" }
note = { class = "C", explain = "what was noted" }
[tables.consent]
ours = true
category = "consent_record"
primary_key = ["id"]
at = { happened = "withdrawn", consent_withdrawn = "withdrawn" }
restrict = { restricted = true }
keep.mark = { kept = true }
keep.fields = { name = [], withdrawn = ["withdrawn"] }
[tables.consent.columns]
id = { class = "T" }
email = { class = "A", identity = "email", explain = "your e-mail address" }
withdrawn = { class = "M", explain = "when you withdrew your consent" }
kept = { class = "T" }
restricted = { class = "T" }
"""
TABLES = """
CREATE TABLE customer (
    account_id varchar(40) PRIMARY KEY, name varchar(80) NOT NULL, email varchar(80) NOT NULL,
    city varchar(80) NOT NULL,
    contract varchar(8) NOT NULL, restricted {flag} NOT NULL DEFAULT {off}, marketing {flag} NOT NULL DEFAULT {on},
    tenant varchar(8) NOT NULL DEFAULT 'shop'
);
CREATE INDEX customer_email ON customer (email);
CREATE TABLE call_record (
    id int PRIMARY KEY, began {moment} NOT NULL, caller varchar(20) NOT NULL, callee varchar(20) NOT NULL,
    seconds int NOT NULL, network varchar(20) NOT NULL DEFAULT '', privacy varchar(8) NOT NULL DEFAULT 'none',
    noted varchar(80) NOT NULL DEFAULT ''
);
CREATE INDEX call_caller ON call_record (caller, began);
CREATE INDEX call_callee ON call_record (callee, began)
"""
SHOP_TABLES = """;
CREATE TABLE invoice (
    id int PRIMARY KEY, email text, ended date, cents int, note text, kept boolean NOT NULL DEFAULT false,
    restricted boolean NOT NULL DEFAULT false
);
CREATE INDEX invoice_email ON invoice (email);
CREATE TABLE delivery (
    id int PRIMARY KEY, email text, city text, restricted boolean NOT NULL DEFAULT false,
    marketing boolean NOT NULL DEFAULT true, tour int, phone text
);
CREATE INDEX delivery_email ON delivery (email);
CREATE INDEX delivery_phone ON delivery (phone);
CREATE TABLE parcel (
    id int PRIMARY KEY, tour int, note text, restricted boolean NOT NULL DEFAULT false
);
CREATE INDEX parcel_tour ON parcel (tour);
CREATE TABLE consent (
    id int PRIMARY KEY, email text, withdrawn date, kept boolean NOT NULL DEFAULT false,
    restricted boolean NOT NULL DEFAULT false
);
CREATE INDEX consent_email ON consent (email);
CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RETURN CASE TG_OP WHEN ''UPDATE'' THEN OLD END; END';
CREATE TRIGGER stuck BEFORE UPDATE OR DELETE ON customer FOR EACH ROW
    WHEN (OLD.city = 'stuck') EXECUTE FUNCTION undo();
GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}
"""
SQL = """
[{name}]
adapter = "sql"
needs = ["email", "account_id", "phone"]
accounts = "customers"
dsn_env = "{variable}"
dataset = "{name}.toml"
max_rows = 60
ours = ["shop"]
tenants = {{ acme = ["acme"] }}
"""


class Calls(ABC):
    """The calls of a store: rows of two people."""

    @abstractmethod
    async def hold_call(self, caller: str, callee: str, began: datetime) -> None: ...

    @abstractmethod
    async def calls(self, number: str) -> list[tuple[Any, ...]]: ...

    async def hold_shared(self, person: Person, other: Person) -> None:
        """Enters a call from one to the other."""
        await self.hold_call(person.phone, other.phone, SINCE)

    async def shared(self, person: Person, other: Person) -> tuple[bool, bool]:
        """Whether the one stands in the call of the two, and the other."""
        return bool(await self.calls(person.phone)), bool(await self.calls(other.phone))


@dataclass
class Shop(Calls):
    """A PostgreSQL store: customers of a shop."""

    dsn: str
    ours: str
    name: str = "shop"
    declaration: str = SQL.format(name="shop", variable="SHOP_DSN")

    @property
    def env(self) -> Mapping[str, str]:
        return {"SHOP_DSN": self.ours}

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Queries as the application's own user."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    async def hold(self, person: Person, contract: str = "ended", city: str = BERLIN, tenant: str = "shop") -> None:
        """Enters a customer, of the shop or of its tenant; in the city ``stuck`` a trigger undoes every change."""
        number = person.account_id if tenant == "shop" else f"{tenant}-{person.account_id}"
        row = (number, person.name, person.email, city, contract, tenant)
        await self.rows("INSERT INTO customer VALUES ($1, $2, $3, $4, $5, false, true, $6)", *row)

    async def tenants(self, person: Person) -> list[str]:
        """Names the tenants who have a person as a customer, the shop among them."""
        found = await self.rows("SELECT tenant FROM customer WHERE email = $1 ORDER BY tenant", person.email)
        return [tenant for (tenant,) in found]

    async def hold_call(self, caller: str, callee: str, began: datetime, withheld: str = "", noted: str = "") -> None:
        """A call; ``withheld``: the number that the network knew of a caller who asked that it is not shown."""
        row = (next(_ids), began, caller, callee, 60, withheld, "id" if withheld else "none", noted)
        await self.rows("INSERT INTO call_record VALUES ($1, $2, $3, $4, $5, $6, $7, $8)", *row)

    async def calls(self, number: str) -> list[tuple[Any, ...]]:
        """The calls in which a number stands: when each began, who called and who was called."""
        query = "SELECT began, caller, callee FROM call_record WHERE $1 IN (caller, callee) ORDER BY began"
        return await self.rows(query, number)

    async def hold_invoice(self, person: Person, ended: date) -> None:
        row = (next(_ids), person.email, ended, 4200, "paid late")
        await self.rows("INSERT INTO invoice VALUES ($1, $2, $3, $4, $5)", *row)

    async def invoices(self, person: Person) -> list[tuple[Any, ...]]:
        """Returns a person's invoices: end of contract, amount, note, whether kept and restricted."""
        query = "SELECT ended, cents, note, kept, restricted FROM invoice WHERE email = $1"
        return await self.rows(query, person.email)

    async def hold_deliveries(self, person: Person, number: int) -> None:
        ids = [next(_ids) for _ in range(number)]
        query = "INSERT INTO delivery (id, email, phone, city) SELECT n, $2, $3, $4 FROM unnest($1::int[]) n"
        await self.rows(query, ids, person.email, person.phone, BERLIN)

    async def deliveries(self, person: Person) -> list[Held]:
        """Counts the deliveries of a person, of each kind."""
        query = "SELECT count(*), city, restricted, marketing FROM delivery WHERE email = $1 GROUP BY 2, 3, 4"
        return [Held(*row) for row in await self.rows(query, person.email)]

    async def hold_parcel(self, *people: Person) -> None:
        """Enters one parcel for the deliveries of all these people, which are on one tour."""
        tour = next(_ids)
        for person in people:
            await self.rows("UPDATE delivery SET tour = $1 WHERE email = $2", tour, person.email)
        await self.rows("INSERT INTO parcel VALUES ($1, $1)", tour)

    async def hold_consent(self, person: Person, withdrawn: date) -> None:
        await self.rows("INSERT INTO consent VALUES ($1, $2, $3)", next(_ids), person.email, withdrawn)

    async def consents(self, person: Person) -> int:
        """Counts the consents of a person."""
        return len(await self.rows("SELECT FROM consent WHERE email = $1", person.email))

    async def held(self, person: Person) -> Held:
        query = "SELECT city, restricted, marketing FROM customer WHERE account_id = $1 OR email = $2"
        return _held(await self.rows(query, person.account_id, person.email))


@dataclass
class Archive(Calls):
    """A MariaDB store, by the same dataset."""

    server: MariaDb
    database: str
    ours: str
    name: str = "archive"
    declaration: str = SQL.format(name="archive", variable="ARCHIVE_DSN")

    @property
    def env(self) -> Mapping[str, str]:
        return {"ARCHIVE_DSN": self.ours}

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.server.ask(self.database, query)]

    async def hold(self, person: Person, contract: str = "ended") -> None:
        row = f"'{person.account_id}', '{person.name}', '{person.email}', '{BERLIN}', '{contract}', 0, 1, 'shop'"
        await self.server.run(f"INSERT INTO customer VALUES ({row})", database=self.database)

    async def hold_call(self, caller: str, callee: str, began: datetime) -> None:
        row = f"{next(_ids)}, '{began:%Y-%m-%d %H:%M:%S}', '{caller}', '{callee}', 60"
        names = "id, began, caller, callee, seconds"
        await self.server.run(f"INSERT INTO call_record ({names}) VALUES ({row})", database=self.database)

    async def calls(self, number: str) -> list[tuple[Any, ...]]:
        """The calls in which a number stands: when each began, who called and who was called."""
        where = f"'{number}' IN (caller, callee)"
        return await self.rows(f"SELECT began, caller, callee FROM call_record WHERE {where} ORDER BY began")

    async def held(self, person: Person) -> Held:
        where = f"account_id = '{person.account_id}' OR email = '{person.email}'"
        return _held(await self.rows(f"SELECT city, restricted, marketing FROM customer WHERE {where}"))


def _held(rows: list[tuple[Any, ...]]) -> Held:
    if not rows:
        return NOTHING
    city, restricted, marketing = rows[0]
    return Held(len(rows), city, bool(restricted), bool(marketing))


# HTTP: an API that is connected by a declaration alone.

HELPDESK = """
[helpdesk]
adapter = "http"
url = "${HELPDESK_URL}"
declaration = "helpdesk-api.toml"
needs = ["email"]
answer_seconds = 15
"""
API = """
auth = { value = "Bearer {HELPDESK_TOKEN}" }
check = { get = "/me" }
[resource.contact]
category = "contact"
find = { get = "/contacts", query = { email = "{email}" }, by = ["email"], records = "contacts" }
owner = { email = "email" }
fields = { id = "T", email = "A", name = "A", city = "M", contract = "M", restricted = "T", marketing = "M" }
explain = { email = "your e-mail address", name = "your name", city = "where you live", contract = "whether you have a contract", marketing = "whether you get marketing" }
read = { get = "/contacts/{id}" }
refuse_when = [
    { path = "contract", in = ["active"], over = ["ended", "disputed"], reason = "active_contract" },
    { path = "contract", in = ["disputed"], over = ["active", "ended"], reason = "dispute" },
]
erase = [{ delete = "/contacts/{id}", done = [{ status = 404 }] }]
verify = { ask = [{ get = "/contacts/{id}", gone = [{ status = 404 }] }], search = true }
restrict = { steps = [{ patch = "/contacts/{id}", body = { restricted = true } }], seen = [{ path = "restricted", equals = true }] }
lift = { steps = [{ patch = "/contacts/{id}", body = { restricted = false } }], seen = [{ path = "restricted", equals = false }] }
suppress = { steps = [{ patch = "/contacts/{id}", body = { marketing = false } }], seen = [{ path = "marketing", equals = false }] }
[resource.contact.rectify."address.city"]
path = "city"
steps = [{ patch = "/contacts/{id}", body = { city = "{asserted}" } }]
"""  # noqa: E501  # an inline table of TOML is one line


def away() -> Response:
    """Returns the answer of a failed system; a busy one would be asked again without a person."""
    return JSONResponse({"error": "later"}, 500)


@dataclass
class Helpdesk:
    """An HTTP API inside the test, with contacts.

    ``lies``: the addresses of whom it says yes to a change and does nothing; ``lies_once``: to the first deletion.
    ``says``: what it answers, whatever it is asked, of whom has that address; everybody else is answered as ever.
    """

    url: str = ""
    contacts: dict[int, dict[str, Any]] = field(default_factory=dict)
    name: str = "helpdesk"
    declaration: str = HELPDESK
    lies: set[str] = field(default_factory=set)
    lies_once: set[str] = field(default_factory=set)
    says: dict[str, Callable[[], Response]] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def env(self) -> Mapping[str, str]:
        return {"HELPDESK_URL": self.url, "HELPDESK_TOKEN": "of-a-test"}

    async def hold(self, person: Person, contract: str = "ended") -> None:
        number = next(self._ids)
        named = {"id": number, "email": person.email, "name": person.name, "city": BERLIN, "contract": contract}
        self.contacts[number] = {**named, "restricted": False, "marketing": True}

    async def held(self, person: Person) -> Held:
        found = [each for each in self.contacts.values() if each["email"] == person.email]
        return _held([(each["city"], each["restricted"], each["marketing"]) for each in found])

    def _does_nothing(self, method: str, email: str) -> bool:
        once = method == "DELETE" and email in self.lies_once
        self.lies_once.difference_update({email} if once else ())
        return once or email in self.lies

    def application(self) -> Starlette:
        """The API."""

        async def me(_: Request) -> Response:
            return JSONResponse({"ok": True})

        async def search(request: Request) -> Response:
            email = request.query_params["email"]
            if email in self.says:
                return self.says[email]()
            return JSONResponse({"contacts": [each for each in self.contacts.values() if each["email"] == email]})

        async def one(request: Request) -> Response:
            number = int(request.path_params["number"])
            if number not in self.contacts:
                return JSONResponse({"error": "no such contact"}, 404)
            contact = self.contacts[number]
            if contact["email"] in self.says:
                return self.says[contact["email"]]()
            if request.method != "GET" and self._does_nothing(request.method, contact["email"]):
                return JSONResponse(contact)
            if request.method == "DELETE":
                del self.contacts[number]
            elif request.method == "PATCH":
                contact.update(await request.json())
            return JSONResponse(contact)

        routes = [Route("/me", me), Route("/contacts", search)]
        return Starlette(routes=[*routes, Route("/contacts/{number:int}", one, methods=["GET", "PATCH", "DELETE"])])

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Helpdesk"]:
        """The API, answering on a port of its own."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with served(self.application(), listener):
            yield self


# Tryton, Roundup: products with an adapter of their own.

CRM = """
[crm]
adapter = "tryton"
url = "${CRM_URL}"
database = "${CRM_DATABASE}"
password_env = "CRM_PASSWORD"
needs = ["email", "phone", "account_id"]
yields = ["email", "phone", "account_id"]
accounts = "customers"
assigns = true
grounds = { contract = "contract", ended_on = "contract_ended_on", invoice_open = "invoice_open", disputed = "disputed", credit = "credit", last_activity = "last_activity" }
"""  # noqa: E501  # the same


@dataclass
class Crm:
    """Tryton: a party of each customer."""

    tryton: Tryton
    url: str
    name: str = "crm"
    declaration: str = CRM

    @property
    def env(self) -> Mapping[str, str]:
        of = self.tryton
        return {"CRM_URL": self.url, "CRM_DATABASE": of.database, "CRM_PASSWORD": of.password}

    async def hold(
        self,
        person: Person,
        contract: Any = "none",
        since: datetime | None = None,
        until: datetime | None = None,
        phones: Sequence[Phone] = (),
        **more: Any,
    ) -> None:
        """Enters a customer, with their number if it was assigned ``since`` or ``until`` a day: that is a contract."""
        if since or until:
            phones = [Phone(person.phone, since or SINCE, until)]
        customer = Customer(
            code=person.account_id,
            name=person.name,
            emails=(person.email,),
            phones=tuple(phones),
            street="Kieselgasse 1",
            postal_code="10115",
            city=BERLIN,
            country="DE",
            language="de",
            marketing_consent=True,
            since=SINCE,
            contract=contract,
            **more,
        )
        await seed(self.tryton, [customer])

    async def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Queries the CRM's own database."""
        connection = await asyncpg.connect(self.tryton.dsn)
        try:
            return [tuple(row) for row in await connection.fetch(query, *values)]
        finally:
            await connection.close()

    async def held(self, person: Person) -> Held:
        query = (
            "SELECT a.city, p.restricted, NOT p.marketing_opt_out FROM party_party p"
            " LEFT JOIN party_address a ON a.party = p.id"
            " WHERE p.code = $1 OR EXISTS (SELECT FROM party_contact_mechanism m WHERE m.party = p.id AND m.value = $2)"
        )
        return _held(await self.rows(query, person.account_id, person.email))

    async def hold_identifier(self, person: Person, code: str) -> None:
        party = "SELECT id, 'eu_vat', $2, $2, true FROM party_party WHERE code = $1"
        columns = "party, type, code, code_compact, active"
        await self.rows(f"INSERT INTO party_identifier ({columns}) {party}", person.account_id, code)

    async def flags(self, person: Person) -> list[str]:
        """Returns the open requests shown at a person's contact."""
        [(shown,)] = await self.rows("SELECT open_requests FROM party_party WHERE code = $1", person.account_id)
        return (shown or "").split()


TICKETS = """
[tickets]
adapter = "roundup"
url = "${TICKETS_URL}"
password_env = "TICKETS_PASSWORD"
staff_roles = ["User", "Privacy", "Admin"]
resolved_on = "resolved_on"
needs = ["email", "phone"]
"""


@dataclass
class Tickets:
    """Roundup: a requester, and a ticket of theirs."""

    roundup: Roundup
    url: str
    name: str = "tickets"
    declaration: str = TICKETS
    written: dict[Person, str] = field(default_factory=dict)
    """The message of each person on the ticket of another."""

    @property
    def env(self) -> Mapping[str, str]:
        return {"TICKETS_URL": self.url, "TICKETS_PASSWORD": self.roundup.password}

    async def call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """One call of the tracker's REST API, as its users make it."""
        own = {"Origin": self.roundup.url.rstrip("/"), "X-Requested-With": "rest"}
        headers = {**own, **more.pop("headers", {})}
        auth = (self.roundup.user, self.roundup.password)
        async with httpx.AsyncClient(base_url=f"{self.roundup.url}rest/data/", auth=auth, headers=headers) as client:
            answer = await client.request(method, path, timeout=60, **more)
        return dict(answer.raise_for_status().json()["data"])

    async def create(self, classname: str, **values: object) -> str:
        """A record; its id."""
        return str((await self.call("POST", classname, json=values))["id"])

    async def hold(self, person: Person) -> None:
        named = {"username": f"c-{person.number}", "realname": person.name, "address": person.email}
        user = await self.create("user", **named, phone=person.phone)
        message = await self.create("msg", content="No sound since Monday.", author=user)
        await self.create("issue", title="No sound", requester=user, messages=message)

    async def hold_all(self, person: Person, title: str) -> None:
        """Enters what else there may be of a person: a file, a search, a ticket with a former title."""
        user = (await self._users(person))[0]["id"]
        paper = await self.create("file", name="bill.txt", type="text/plain", content="It is 42 EUR.")
        message = await self.create("msg", content="Here is my bill.", author=user, files=paper)
        ticket = await self.create("issue", title=title, requester=user, messages=message)
        await self.create("query", name="My tickets", klass="issue", private_for=user)
        version = {"If-Match": (await self.call("GET", f"issue/{ticket}"))["@etag"]}
        await self.call("PATCH", f"issue/{ticket}", json={"title": "Bill"}, headers=version)

    def remembers(self, title: str) -> bool:
        """Whether the history of any ticket has that title."""
        with closing(sqlite3.connect(f"file:{self.roundup.database}?mode=ro", uri=True)) as database:
            query = "SELECT count(*) FROM issue__journal WHERE instr(params, ?)"
            return bool(database.execute(query, [title]).fetchone()[0])

    async def hold_shared(self, person: Person, other: Person) -> None:
        """Enters a ticket of the one, on which the other has written too."""
        written = [await self._written(each) for each in (person, other)]
        requester = (await self._users(person))[0]["id"]
        await self.create("issue", title="The same here", requester=requester, messages=",".join(written))

    async def shared(self, person: Person, other: Person) -> tuple[bool, bool]:
        """Whether what the one has written is there, and what the other has."""
        return await self._stands(person), await self._stands(other)

    async def _stands(self, person: Person) -> bool:
        found = await self.call("GET", f"msg/{self.written[person]}", params={"@verbose": 3})
        return bool(found["attributes"]["content"] == _words(person))

    async def _written(self, person: Person) -> str:
        author = (await self._users(person))[0]["id"]
        self.written[person] = await self.create("msg", content=_words(person), author=author)
        return self.written[person]

    async def _users(self, person: Person) -> list[dict[str, Any]]:
        return list((await self.call("GET", "user", params={"address": person.email}))["collection"])

    async def held(self, person: Person) -> Held:
        found = await self._users(person)
        if not found:
            return NOTHING
        return Held(len(found), restricted=not await self.seen_by_agent("user", found[0]["id"]))

    async def about(self, request_id: str) -> list[str]:
        """Lists the states of the tickets that warn people of a request."""
        found = (await self.call("GET", "issue", params={"dsr_request": request_id}))["collection"]
        issues = [await self.call("GET", f"issue/{each['id']}") for each in found]
        states = [each["attributes"]["status"] for each in issues]
        return ["open" if state is None else await self._name_of(state["id"]) for state in states]

    async def _name_of(self, state: str) -> str:
        return str((await self.call("GET", f"status/{state}"))["attributes"]["name"])

    async def seen_by_agent(self, classname: str, identity: str) -> bool:
        """Whether an agent may read a record."""
        auth = (self.roundup.agent, self.roundup.agent_password)
        async with httpx.AsyncClient(base_url=f"{self.roundup.url}rest/data/", auth=auth) as client:
            return (await client.get(f"{classname}/{identity}")).is_success


def _words(person: Person) -> str:
    return f"Nor do I hear anything, says {person.name}."


# The bus: a team that works its own store.

BILLING = """
[billing]
adapter = "bus"
needs = ["email"]
categories = ["account"]
operations = ["erase", "export", "rectify", "restrict", "suppress", "plan"]
fields = { number = "T", email = "A", cents = "M" }
explain = { email = "your e-mail address", cents = "the amount, in cents" }
rectifies = ["email"]
ask_again_s = 1
grounds = ["tax_law"]
"""


Says = Callable[[Mapping[str, Any]], bytes | None]
"""A team's reply to a task; None: it does the task."""


class Store(Billing):
    """The team's store; ``says``: as the team's."""

    def __init__(self, path: str, ahead: Callable[[], int], says: Mapping[str, Says]) -> None:
        super().__init__(path, ahead)
        self._says = says

    def work(self, task: dict[str, Any], emails: Sequence[str], changes: Sequence[dict[str, Any]] = ()) -> bytes:
        """Does it, or says what the test wants."""
        said = [reply for each in emails if each in self._says and (reply := self._says[each](task)) is not None]
        return said[0] if said else super().work(task, emails, changes)


@dataclass
class Team:
    """A team's own store of invoices; ``begin`` lets it hear its tasks, ``end`` lets it stop.

    ``says``: what it replies of whom has that address, instead of doing what it is asked.
    """

    store: Path
    days_ahead: Callable[[], int] = int
    name: str = "billing"
    declaration: str = BILLING
    env: Mapping[str, str] = field(default_factory=dict)
    says: dict[str, Says] = field(default_factory=dict)
    _working: "asyncio.Task[None] | None" = None
    _where: tuple[str, str, dict[str, Any]] = ("", "", {})

    def begin(self, intake: str = "", key: str = "", broker: dict[str, Any] | None = None) -> None:
        """Starts hearing, where it did before if nothing is said; ``broker``: the arguments of its clients."""
        if broker:
            self._where = (intake, key, broker)
        intake, key, client = self._where
        store = Store(str(self.store), self.days_ahead, self.says)
        self._working = asyncio.create_task(self._work(store, intake=intake, api_key=key, **client))

    async def _work(self, store: Store, **where: Any) -> None:
        """Works; where intake or the broker was away it begins again, as a team's process is started again."""
        while True:
            with suppress(httpx.HTTPError, KafkaError):
                await serve("billing", store, **where)
            await asyncio.sleep(0.5)  # there is nothing to wait for but their return

    async def end(self) -> None:
        """Stops hearing."""
        assert self._working
        self._working.cancel()
        with suppress(asyncio.CancelledError):
            await self._working

    @staticmethod
    def reply(task: Mapping[str, Any], **said: object) -> bytes:
        """A reply to a task."""
        same = {name: task[name] for name in ("command_id", "task_id", "operation")}
        return json.dumps({"type": "dsr.task.replied.v1", **same, **said}).encode()

    async def hold(self, person: Person, keep_until: str | None = None) -> None:
        with self._opened() as db:
            db.execute("INSERT INTO invoice (email, cents, keep_until) VALUES (?, 100, ?)", [person.email, keep_until])

    async def held(self, person: Person) -> Held:
        with self._opened() as db:
            rows = db.execute("SELECT NULL, restricted, offers FROM invoice WHERE email = ?", [person.email]).fetchall()
        return _held(rows)

    def _opened(self) -> Any:
        return Billing(str(self.store)).db


@asynccontextmanager
async def all_of(*systems: Any) -> AsyncIterator[None]:
    """Enters those that must be entered."""
    async with AsyncExitStack() as stack:
        for each in systems:
            await stack.enter_async_context(each)
        yield
