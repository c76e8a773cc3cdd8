"""Whoever is known by a text that is not ASCII is found in every system, whichever form it has stored (NFC or NFD)."""

import unicodedata
from collections.abc import Callable
from typing import Literal

import httpx
import pytest

from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.opendsr.adapter import OpenDsrAdapter
from shared.downstreams.opendsr.settings import OpenDsrSettings
from shared.downstreams.protocols import Adapter
from shared.downstreams.roundup.adapter import RoundupAdapter
from shared.downstreams.roundup.settings import RoundupSettings
from shared.downstreams.tryton.adapter import TrytonAdapter
from shared.downstreams.tryton.settings import TrytonSettings
from tests.fakes import slow_crm, slow_ticketing
from tests.fakes.opendsr_responder import MailingSystem, application
from tests.fakes.slow_answers import SlowApplication
from tests.fixtures.cdr import SqlEngine
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import WorkedSystem, email, task
from tests.fixtures.engine import SetClock

Form = Literal["NFC", "NFD"]
ADDRESS = "jos\u00e9@example.org"
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
    worked = WorkedSystem(system(unicodedata.normalize(form, ADDRESS)))
    erased = await worked.receipt(task(Operation.ERASE, email(ADDRESS)))
    assert (erased.outcome, erased.remaining) == (TaskOutcome.ERASED, 0)
    await worked.close()


@both_forms
async def test_a_sql_store_is_asked_for_both(customers: SqlEngine, customer_store: CustomerStore, form: Form) -> None:
    stored = unicodedata.normalize(form, ADDRESS.upper())
    name, street = (unicodedata.normalize(form, each) for each in ("Jos\u00e9", "Calle Le\u00f3n 1"))
    await customer_store.run(
        f"INSERT INTO customer (account_id, name, email, street) VALUES ('C9', '{name}', '{stored}', '{street}')"
    )
    located = await customers.receipt(task(Operation.LOCATE, email(ADDRESS)))
    assert {each.value for each in located.identities} == {"C9", "Jos\u00e9"}
    corrected = await customers.receipt(
        task(Operation.RECTIFY, email(ADDRESS), changes=[("street", "Calle Le\u00f3n 1", "Calle Le\u00f3n 2")])
    )
    assert corrected.changed == 1
    erased = await customers.receipt(task(Operation.ERASE, email(ADDRESS)))
    assert (erased.outcome, erased.changed, erased.by_category) == (TaskOutcome.ERASED, 1, {"account": 1})
    assert await customer_store.ask("SELECT count(*) FROM customer WHERE account_id = 'C9'") == [(0,)]
