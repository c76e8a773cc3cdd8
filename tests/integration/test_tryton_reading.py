"""Locating and exporting a customer in a real Tryton: the subject, all of them, and nobody else."""

from datetime import UTC, datetime, timedelta

import pytest

from deploy.demo.company import Phone
from shared.domain.errors import ForeignHit, Refused, Unavailable
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Receipt, Record
from shared.downstreams.tryton import TrytonAdapter
from tests.fixtures.tryton import SINCE, SYSTEM, Crm, Notes, account, email, phone, task

MOVED = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)


async def test_locate_tells_customer_number_addresses_and_numbers_with_their_periods(
    crm: Crm, crm_adapter: TrytonAdapter
) -> None:
    customer = await crm.add(
        emails=("Lea.Locate@Post.Example", "lea@arbeit.example"),
        phones=(Phone("+4915112345671", SINCE, MOVED), Phone("+4915112345672", MOVED)),
    )
    (receipt,) = await crm_adapter.locate(
        [task(Operation.LOCATE, email("lea.locate@post.example"))], Notes().save_progress
    )
    assert isinstance(receipt, Receipt)
    assert receipt.outcome is TaskOutcome.LOCATED
    assert receipt.by_category == {"account": 1, "contact": 4, "address": 1}
    assert set(receipt.identities) == {
        Identity(IdentityType.ACCOUNT_ID, customer.code, source=SYSTEM),
        Identity(IdentityType.EMAIL, "lea.locate@post.example", source=SYSTEM),
        Identity(IdentityType.EMAIL, "lea@arbeit.example", source=SYSTEM),
        Identity(IdentityType.PHONE, "+4915112345671", SINCE, MOVED, SYSTEM),
        Identity(IdentityType.PHONE, "+4915112345672", MOVED, None, SYSTEM),
    }


async def test_a_re_assigned_number_finds_its_holder_of_the_time_in_question(
    crm: Crm, crm_adapter: TrytonAdapter
) -> None:
    number = "+4915112345673"
    former = await crm.add(phones=(Phone(number, SINCE, MOVED),))
    later = await crm.add(phones=(Phone(number, MOVED + timedelta(days=45)),))
    now, then = await crm_adapter.locate(
        [
            task(Operation.LOCATE, phone(number)),
            task(Operation.LOCATE, phone(number, SINCE, SINCE + timedelta(days=9))),
        ],
        Notes().save_progress,
    )
    assert isinstance(now, Receipt)
    assert isinstance(then, Receipt)
    assert later.code in {identity.value for identity in now.identities}
    assert former.code in {identity.value for identity in then.identities}
    assert former.code not in {identity.value for identity in now.identities}


async def test_a_customer_who_was_deactivated_is_found(crm: Crm, crm_adapter: TrytonAdapter) -> None:
    customer = await crm.add()
    await crm.sql("UPDATE party_party SET active = false WHERE code = $1", customer.code)
    await crm.sql("UPDATE party_contact_mechanism SET active = false WHERE value = $1", customer.emails[0])
    (receipt,) = await crm_adapter.locate([task(Operation.LOCATE, email(customer.emails[0]))], Notes().save_progress)
    assert isinstance(receipt, Receipt)
    assert receipt.outcome is TaskOutcome.LOCATED


async def test_wildcards_in_an_address_find_nobody_else(crm: Crm, crm_adapter: TrytonAdapter) -> None:
    await crm.add(emails=("max_muster@post.example", "maxxmuster@post.example"))
    tasks = [
        task(Operation.LOCATE, email(value))
        for value in ("%@post.example", "max%@post.example", "m_xxmuster@post.example")
    ]
    results = await crm_adapter.locate(tasks, Notes().save_progress)
    assert [result.outcome for result in results if isinstance(result, Receipt)] == [TaskOutcome.NO_MATCH] * 3


async def test_somebody_who_gives_another_customers_number_is_not_taken_for_them(
    crm: Crm, crm_adapter: TrytonAdapter
) -> None:
    victim, attacker = await crm.add_many(2)
    (result,) = await crm_adapter.export(
        [task(Operation.EXPORT, email(attacker.emails[0]), account(victim.code))], Notes().save_progress
    )
    assert isinstance(result, ForeignHit)


async def test_an_export_hands_out_everything_in_words_that_can_be_read(crm: Crm, crm_adapter: TrytonAdapter) -> None:
    customer = await crm.add(phones=(Phone("+4915112345674", SINCE, MOVED),))
    (receipt,) = await crm_adapter.export([task(Operation.EXPORT, account(customer.code))], Notes().save_progress)
    assert isinstance(receipt, Receipt)
    assert receipt.outcome is TaskOutcome.EXPORTED
    assert receipt.records == (
        Record("account", SYSTEM, {"customer_number": customer.code, "name": customer.name}),
        Record(
            "account", SYSTEM, {"active": True, "processing_restricted": False, "no_marketing": False}, portable=False
        ),
        Record("contact", SYSTEM, {"kind": "email", "value": customer.emails[0], "in_use": True}),
        Record(
            "contact",
            SYSTEM,
            {
                "kind": "phone",
                "value": "+49 1511 2345674",
                "in_use": True,
                "assigned_from": "2024-02-01T12:00:00+00:00",
                "assigned_until": "2025-03-01T09:30:00+00:00",
            },
        ),
        Record(
            "address",
            SYSTEM,
            {"street": customer.street, "postal_code": "50667", "city": customer.city, "country": "DE"},
        ),
    )


async def test_a_request_with_a_name_alone_is_refused(crm_adapter: TrytonAdapter) -> None:
    (result,) = await crm_adapter.locate(
        [task(Operation.LOCATE, Identity(IdentityType.NAME, "Ada Quarzfels"))], Notes().save_progress
    )
    assert isinstance(result, Refused)


async def test_a_wrong_login_is_refused(crm: Crm) -> None:
    adapter = crm.adapter(login="nobody")
    with pytest.raises(Refused):
        await adapter.locate([task(Operation.LOCATE, email("a@post.example"))], Notes().save_progress)
    await adapter.close()


async def test_a_crm_that_does_not_listen_is_unavailable(crm: Crm) -> None:
    adapter = crm.adapter(url="http://127.0.0.1:9")
    with pytest.raises(Unavailable):
        await adapter.locate([task(Operation.LOCATE, email("a@post.example"))], Notes().save_progress)
    await adapter.close()
