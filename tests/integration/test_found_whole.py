"""A store is searched by all that it knows of a person, in either form of their text, whatever the right."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import httpx
import pytest

from shared.domain.errors import DoneBefore, LimitExceeded, NotSupported
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import ANSWERING, Limit, Operation, TaskOutcome
from shared.systems.contract import Receipt, Result
from shared.systems.downstream import Downstream
from shared.systems.opendsr.adapter import OpenDsrAdapter
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.plan import stages
from shared.systems.protocols import Adapter
from shared.systems.roundup.adapter import RoundupAdapter
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.tryton.adapter import TrytonAdapter
from shared.systems.tryton.settings import TrytonSettings
from tests.fakes import slow_crm, slow_ticketing
from tests.fakes.opendsr_responder import MailingSystem, application
from tests.fakes.slow_answers import SlowApplication
from tests.fixtures.cdr import SqlEngine, ask, engine, store_of
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.engine import SetClock

SCHEMA = """
CREATE TABLE customer (
 id text PRIMARY KEY, email text, billing text, name text, restricted boolean NOT NULL DEFAULT false);
CREATE TABLE login (account text, address text, PRIMARY KEY (account, address));
CREATE TABLE call (id int PRIMARY KEY, account text, caller text, restricted boolean NOT NULL DEFAULT false);
CREATE TABLE note (id int PRIMARY KEY, customer text REFERENCES customer ON DELETE CASCADE, body text);
CREATE TABLE newsletter (id int PRIMARY KEY, address text, wanted boolean NOT NULL DEFAULT true);
CREATE INDEX ON customer (lower(email)); CREATE INDEX ON customer (lower(billing));
CREATE INDEX ON login (account); CREATE INDEX ON call (account);
CREATE INDEX ON newsletter (lower(address)); CREATE INDEX ON login (lower(address)); CREATE INDEX ON note (customer);
INSERT INTO customer VALUES
 ('C-40', 'solo@example.org', 'third@example.org', 'Solo'), ('C-41', 'other@example.org', NULL, 'Other');
INSERT INTO login VALUES ('C-40', 'second@example.org'), ('C-40', 'third@example.org'), ('C-41', 'o@example.org');
INSERT INTO call VALUES (1, 'C-40', 'Solo'), (2, 'C-40', 'Solo'), (3, 'C-41', 'Other');
INSERT INTO note VALUES (1, 'C-40', 'calls often'), (2, 'C-41', 'never calls');
INSERT INTO newsletter VALUES (1, 'third@example.org'), (2, 'o@example.org');
"""
ADDRESS = '{ class = "A", identity = "email", match = "lower", yields = true }'
DATASET = f"""
name = "shop"
[tables.customer]
category = "customer"
primary_key = ["id"]
person = "id"
restrict = {{ restricted = true }}
[tables.customer.columns]
id = {{ class = "A", identity = "account_id", yields = true }}
email = {ADDRESS}
billing = {ADDRESS}
name = {{ class = "A", rectifies = "name" }}
restricted = {{ class = "T" }}
[tables.login]
category = "login"
primary_key = ["account", "address"]
columns = {{ account = {{ class = "A", identity = "account_id", yields = true }}, address = {ADDRESS} }}
[tables.call]
category = "call"
primary_key = ["id"]
restrict = {{ restricted = true }}
[tables.call.columns]
id = {{ class = "M" }}
account = {{ class = "A", identity = "account_id" }}
caller = {{ class = "A", rectifies = "name" }}
restricted = {{ class = "T" }}
[tables.note]
category = "note"
primary_key = ["id"]
belongs_to = [{{ table = "customer", on = {{ customer = "id" }} }}]
columns = {{ id = {{ class = "T" }}, customer = {{ class = "T" }}, body = {{ class = "C" }} }}
[tables.newsletter]
category = "newsletter"
primary_key = ["id"]
no_marketing = {{ wanted = false }}
[tables.newsletter.columns]
id = {{ class = "T" }}
address = {{ class = "A", identity = "email", match = "lower" }}
wanted = {{ class = "M" }}
"""
SAID = email("solo@example.org")
FOUND: Mapping[Operation, Mapping[str, int]] = {
    Operation.EXPORT: {"customer": 1, "login": 2, "call": 2, "note": 1, "newsletter": 1},
    Operation.RECTIFY: {"customer": 1, "call": 2},
    Operation.SUPPRESS: {"newsletter": 1},
    Operation.ERASE: {"customer": 1, "login": 2, "call": 2, "note": 1, "newsletter": 1},
}
"""Data by right and way: by stated identities, joins, an account, or addresses of that."""
dsn, shop = store_of(SCHEMA, DATASET)


async def done(shop: SqlEngine, operation: Operation, said: Identity = SAID, confirmed: int = 3) -> Result:
    """Returns the result of a right, worked in the engine's stages; located identities are known.

    ``confirmed``: the number of addresses that two people confirmed as the customer's.
    """
    both = frozenset({IdentityType.EMAIL, IdentityType.ACCOUNT_ID})
    planned = stages([Downstream("store", both, both, adapter=shop.adapter)], operation)
    changes = [("name", None, "Sola")] if operation is Operation.RECTIFY else []
    limits: dict[str, int] = {Limit.MAX_PEOPLE: confirmed}
    asked = replace(task(operation, said, changes=changes), system="store", confirmed=limits)
    *before, last = (step for stage in planned for step in stage)
    for step in before:
        result = await shop.one(replace(asked, operation=step.operation))
        if not isinstance(result, Receipt):
            return result
        asked = replace(asked, identities=(*asked.identities, *result.identities))
    return await shop.one(replace(asked, operation=last.operation))


async def test_each_right_reaches_rows_by_another_identity_of_the_subject(shop: SqlEngine, dsn: str) -> None:
    assert {*FOUND} == ANSWERING - {Operation.RESTRICT}, "each right that is answered, but for the one below"
    for operation, theirs in FOUND.items():
        result = await done(shop, operation)
        assert isinstance(result, Receipt), result
        assert (operation, dict(result.by_category)) == (operation, theirs)
    left = "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM call), (SELECT count(*) FROM newsletter)"
    assert await ask(dsn, left) == [(1, 1, 1)], "the other customer keeps theirs"
    assert await ask(dsn, "SELECT id FROM call WHERE restricted OR caller <> 'Other'") == []


async def test_what_bears_no_switch_and_leads_to_none_is_not_called_restricted(shop: SqlEngine, dsn: str) -> None:
    partly = await done(shop, Operation.RESTRICT)
    assert isinstance(partly, NotSupported), "the newsletter is found by an address alone"
    assert str(partly).startswith("newsletter cannot show a restriction")
    assert partly.done_before == DoneBefore(found=7, changed=6, remaining=1)
    assert await ask(dsn, "SELECT id FROM call WHERE restricted ORDER BY 1") == [(1,), (2,)], "the others are"
    await ask(dsn, "DELETE FROM newsletter WHERE id = 1")
    whole = await done(shop, Operation.RESTRICT)
    assert isinstance(whole, Receipt), whole
    assert whole.by_category == {"customer": 1, "login": 2, "call": 2, "note": 1}, "their recipients are notified"


@pytest.mark.parametrize("operation", sorted(ANSWERING))
async def test_account_leads_to_no_rows_of_another_subject(shop: SqlEngine, dsn: str, operation: Operation) -> None:
    held = "SELECT to_jsonb(c) FROM customer c UNION ALL SELECT to_jsonb(l) FROM login l"
    before = await ask(dsn, held)
    named = await done(shop, operation, confirmed=0)
    assert isinstance(named, LimitExceeded)
    assert named.exceeded
    assert (named.exceeded.found, named.exceeded.allowed) == (2, 1), "second may be another of the company"
    stranger = await done(shop, operation, email("o@example.org"), confirmed=0)
    assert isinstance(stranger, LimitExceeded), "who names an account in one row gets nothing of its customer"
    assert await ask(dsn, held) == before
    await ask(dsn, "DELETE FROM login WHERE account = 'C-40'")
    await ask(dsn, "INSERT INTO login VALUES ('C-41', 'solo@example.org')")
    assert isinstance(await done(shop, operation, confirmed=0), LimitExceeded)


async def test_endless_links_are_manual(shop: SqlEngine, dsn: str, tmp_path: Path) -> None:
    chain = "SELECT 'A-' || n, 'a' || n || '@example.org', 'a' || n + 1 || '@example.org' FROM generate_series(1, 60) n"
    await ask(dsn, f"INSERT INTO customer (id, email, billing) {chain}")
    assert isinstance(await done(shop, Operation.EXPORT, email("a1@example.org")), LimitExceeded)
    async with engine(dsn, tmp_path / "store.toml", {"max_people": 1_000}) as wide:
        assert isinstance(await done(wide, Operation.EXPORT, email("a1@example.org"), 1_000), NotSupported)


# Text that is not ASCII is found in whichever form a system has stored (NFC or NFD).

Form = Literal["NFC", "NFD"]
ADDRESS_FORMS = "jos\u00e9@example.org"
both_forms = pytest.mark.parametrize("form", ["NFC", "NFD"])


def crm(stored: str) -> Adapter:
    system = slow_crm.Crm(2)
    contacts = system.models["party.contact_mechanism"]
    contacts.put({**contacts.rows[2], "value": stored, "value_compact": stored})
    transport = httpx.ASGITransport(SlowApplication(system.answer, system.left))
    settings = TrytonSettings(url="http://crm", password_env="CRM")
    return TrytonAdapter("crm", settings, environment={"CRM": "secret"}, transport=transport)


def ticketing(stored: str) -> Adapter:
    system = slow_ticketing.Tracker(2)
    system.items["user"]["1"]["address"] = stored
    system.by_address = {stored: "1"}
    transport = httpx.ASGITransport(SlowApplication(system.answer, system.left))
    settings = RoundupSettings.model_validate({"url": "http://tickets/", "password_env": "TICKETS"})
    return RoundupAdapter("tickets", settings, environment={"TICKETS": "secret"}, transport=transport)


def mailing(stored: str) -> Adapter:
    transport = httpx.ASGITransport(application(MailingSystem([{"email": stored, "list": "news"}], SetClock())))
    settings = OpenDsrSettings.model_validate({"url": "http://localhost/v2"})
    return OpenDsrAdapter("mailing", settings, clock=SetClock(), environment={}, transport=transport)


@both_forms
@pytest.mark.parametrize("system", [crm, ticketing, mailing])
async def test_a_system_behind_http_is_asked_for_both(system: Callable[[str], Adapter], form: Form) -> None:
    worked = WorkedSystem(system(unicodedata.normalize(form, ADDRESS_FORMS)))
    erased = await worked.receipt(task(Operation.ERASE, email(ADDRESS_FORMS)))
    assert (erased.outcome, erased.remaining) == (TaskOutcome.ERASED, 0)
    await worked.close()


@both_forms
async def test_a_sql_store_is_asked_for_both(customers: SqlEngine, customer_store: CustomerStore, form: Form) -> None:
    stored = unicodedata.normalize(form, ADDRESS_FORMS.upper())
    name, street = (unicodedata.normalize(form, each) for each in ("Jos\u00e9", "Calle Le\u00f3n 1"))
    await customer_store.run(
        f"INSERT INTO customer (account_id, name, email, street) VALUES ('C9', '{name}', '{stored}', '{street}')"
    )
    located = await customers.receipt(task(Operation.LOCATE, email(ADDRESS_FORMS)))
    assert {each.value for each in located.identities} == {"C9", "Jos\u00e9"}
    corrected = await customers.receipt(
        task(Operation.RECTIFY, email(ADDRESS_FORMS), changes=[("street", "Calle Le\u00f3n 1", "Calle Le\u00f3n 2")])
    )
    assert corrected.changed == 1
    erased = await customers.receipt(task(Operation.ERASE, email(ADDRESS_FORMS)))
    assert (erased.outcome, erased.changed, erased.by_category) == (TaskOutcome.ERASED, 1, {"account": 1})
    assert await customer_store.ask("SELECT count(*) FROM customer WHERE account_id = 'C9'") == [(0,)]
