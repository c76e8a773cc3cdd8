"""The company's customers in the CRM, hundreds with a call."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from deploy.demo.company import Customer, Phone
from deploy.local.tryton import Tryton
from shared.systems.http_client import run_together
from shared.systems.tryton.rpc import TrytonRpc

_BATCH: Final = 50


async def seed(tryton: Tryton, customers: Sequence[Customer]) -> None:
    """Create a party for each customer, with contact mechanisms and address, and assign them their numbers."""
    async with tryton.rpc() as rpc, tryton.rpc("admin") as provisioning:
        countries = await _countries(tryton, rpc, {customer.country for customer in customers})

        async def create(batch: Sequence[Customer]) -> None:
            parties = await rpc.call("model.party.party.create", [_party(customer, countries) for customer in batch])
            held = zip(parties, batch, strict=True)
            numbers = [_assignment(party, phone) for party, customer in held for phone in customer.phones]
            if numbers:
                await provisioning.call("model.number.assignment.create", numbers)

        await run_together(*(create(customers[start : start + _BATCH]) for start in range(0, len(customers), _BATCH)))


async def _countries(tryton: Tryton, rpc: TrytonRpc, codes: set[str]) -> dict[str, int]:
    """The rows of the countries; only the administrator may add those that are missing."""
    known = {row["code"]: row["id"] for row in await rpc.search_in("country.country", "code", codes, ("code",))}
    if missing := sorted(codes - known.keys()):
        async with tryton.rpc("admin") as admin:
            ids = await admin.call("model.country.country.create", [{"name": code, "code": code} for code in missing])
        known |= dict(zip(missing, ids, strict=True))
    return known


def _party(customer: Customer, countries: dict[str, int]) -> dict[str, Any]:
    emails = [{"type": "email", "value": email} for email in customer.emails]
    phones = [{"type": "phone", "value": phone.number} for phone in customer.phones if phone.valid_to is None]
    address = {
        "street_unstructured": customer.street,
        "postal_code": customer.postal_code,
        "city": customer.city,
        "country": countries[customer.country],
    }
    return {
        "code": customer.code,
        "name": customer.name,
        "marketing_opt_out": not customer.marketing_consent,
        "contract": customer.contract,
        "contract_ended_on": day(customer.contract_ended_on),
        "invoice_open": customer.invoice_open,
        "disputed": customer.disputed,
        "last_activity": day(customer.last_activity),
        "addresses": [["create", [address]]],
        "contact_mechanisms": [["create", emails + phones]],
    }


def _assignment(party: int, phone: Phone) -> dict[str, Any]:
    period = {"valid_from": moment(phone.valid_from), "valid_to": moment(phone.valid_to)}
    return {"party": party, "number": phone.number, **period}


def day(value: date | None) -> dict[str, Any] | None:
    """A day as Tryton's JSON has it."""
    parts = ("year", "month", "day")
    return {"__class__": "date", **{part: getattr(value, part) for part in parts}} if value else None


def moment(value: datetime | None) -> dict[str, Any] | None:
    """A time as Tryton's JSON has it: UTC without a zone."""
    if value is None:
        return None
    utc = value.astimezone(UTC)
    parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
    return {"__class__": "datetime", **{part: getattr(utc, part) for part in parts}}
