"""Erasing a customer in a real Tryton: to the end, once, and nobody else."""

from dataclasses import replace
from typing import Any, NoReturn

import httpx
import pytest

from shared.domain.errors import BlastRadius, Refused, ResidueFound, Unavailable
from shared.domain.operations import Limit, Operation, TaskOutcome
from shared.downstreams.contract import Receipt
from shared.downstreams.tryton.rpc import CrmRefused
from tests.fixtures.downstream import email, phone, receipt, task
from tests.fixtures.tryton import SYSTEM, Crm, OnTheWay, account, traces

FOUND = {"account": 1, "contact": 2, "assignment": 1, "address": 1}


async def test_an_erased_customer_is_nowhere_in_a_dump_of_the_crm(crm: Crm) -> None:
    customer = await crm.add()
    before = crm.dump()
    assert all(trace in before for trace in traces(customer)[:-2])
    assert any(trace in before for trace in traces(customer)[-2:])

    erase = task(Operation.ERASE, email(customer.emails[0]), phone(customer.phones[0].number))
    done = await crm.one(erase)
    assert done == Receipt(erase.task_id, TaskOutcome.ERASED, found=5, changed=5, by_category=FOUND)
    assert [trace for trace in traces(customer) if trace in crm.dump()] == []


async def test_an_erasure_that_died_after_the_wizard_ends_with_the_receipt_it_would_have_given(crm: Crm) -> None:
    async def dies(_: Any) -> NoReturn:
        raise httpx.ReadError("gone")

    customer = await crm.add()
    erase = task(Operation.ERASE, email(customer.emails[0]))
    dying = crm.over(OnTheWay("model.party.contact_mechanism.delete", dies))
    with pytest.raises(Unavailable):
        await dying.one(erase)
    half_done = crm.dump()
    assert customer.name.lower() not in half_done
    assert customer.emails[0].lower() in half_done

    done = await crm.one(crm.again(erase))
    assert done == Receipt(erase.task_id, TaskOutcome.ERASED, found=5, changed=5, by_category=FOUND)
    assert [trace for trace in traces(customer) if trace in crm.dump()] == []


async def test_what_is_noted_holds_nothing_personal_and_lets_a_repeat_give_the_same_receipt(crm: Crm) -> None:
    customer = await crm.add()
    erase = task(Operation.ERASE, account(customer.code, SYSTEM), email(customer.emails[0]))
    first = await crm.receipt(erase)
    assert list(crm.notes) == [erase.task_id]
    assert not [trace for trace in traces(customer) if trace in repr(crm.notes).lower()]
    assert await crm.one(crm.again(erase)) == first


async def test_the_customer_number_decides_between_customers_who_share_an_address(crm: Crm) -> None:
    one, other = await crm.add_many(2, emails=("shared@post.example",))
    erase = task(Operation.ERASE, email(one.emails[0]), account(one.code))
    assert (await crm.receipt(erase)).outcome is TaskOutcome.ERASED
    assert await crm.party(one) is None
    assert [trace for trace in traces(other)[:-2] if trace not in crm.dump()] == []


@pytest.mark.parametrize("given", ["kept", "merged"])
async def test_what_was_left_of_a_merged_duplicate_is_erased_with_the_customer(crm: Crm, given: str) -> None:
    kept, merged = await crm.add_many(2)
    query = "UPDATE party_party SET active = false, replaced_by = $1 WHERE code = $2"
    await crm.sql(query, await crm.party(kept), merged.code)
    number = account({"kept": kept, "merged": merged}[given].code)
    done = await crm.receipt(task(Operation.ERASE, number))
    assert done.by_category == {"account": 2, "contact": 4, "assignment": 2, "address": 2}
    dump = crm.dump()
    assert [trace for customer in (kept, merged) for trace in traces(customer) if trace in dump] == []


async def test_a_refusal_of_the_crm_leaves_the_customer_as_they_were_and_says_why_without_their_name(crm: Crm) -> None:
    customer = await crm.add()

    async def is_active_again(_: Any) -> None:
        await crm.sql("UPDATE party_party SET active = true WHERE code = $1", customer.code)

    changing = crm.over(OnTheWay("wizard.party.erase.execute", is_active_again))
    result = await changing.one(task(Operation.ERASE, email(customer.emails[0])))
    assert isinstance(result, Refused)
    assert "still_active" in str(result)
    assert "ada" not in str(result).lower()
    log = crm.tryton.child.log.read_text().lower()
    assert "eraseerror" in log
    assert not [trace for trace in traces(customer) if trace in log]
    assert (await crm.sql("SELECT active, name FROM party_party WHERE code = $1", customer.code))[0]["active"]


async def test_of_many_a_customer_whom_the_crm_does_not_let_go_or_know_stops_nobody_else(crm: Crm) -> None:
    customers = await crm.add_many(4)
    held = await crm.party(customers[1])

    async def keeps_one(params: Any) -> httpx.Response | None:
        refusal = {"id": 0, "error": ["UserError", ["The number is required by an invoice.", "", None]]}
        return httpx.Response(200, json=refusal) if [held] in params else None

    keeping = crm.over(OnTheWay("model.party.party.write", keeps_one))
    tasks = [task(Operation.ERASE, email(customer.emails[0])) for customer in customers]
    results = await keeping.run(*tasks, task(Operation.ERASE, email("nobody@post.example")))
    assert isinstance(results.pop(1), CrmRefused)
    assert [receipt(each).outcome for each in results] == [*[TaskOutcome.ERASED] * 3, TaskOutcome.NO_MATCH]
    dump = crm.dump()
    assert [trace for other in (0, 2, 3) for trace in traces(customers[other]) if trace in dump] == []


async def test_a_crm_that_says_yes_and_keeps_the_data_is_caught(crm: Crm) -> None:
    async def says_yes(_: Any) -> httpx.Response:
        return httpx.Response(200, json={"id": 0, "result": None})

    customer = await crm.add()
    lying = crm.over(OnTheWay("model.party.contact_mechanism.delete", says_yes))
    result = await lying.one(task(Operation.ERASE, email(customer.emails[0])))
    assert isinstance(result, ResidueFound)


async def test_a_party_that_is_made_of_the_customer_while_they_are_erased_is_found_out(crm: Crm) -> None:
    customer = await crm.add()

    async def comes_back(_: Any) -> None:
        await crm.add(emails=customer.emails)

    growing = crm.over(OnTheWay("wizard.party.erase.execute", comes_back))
    result = await growing.one(task(Operation.ERASE, email(customer.emails[0])))
    assert isinstance(result, ResidueFound)
    assert await crm.party(customer) is None


async def test_an_erasure_beyond_the_limit_touches_nothing(crm: Crm) -> None:
    customer = await crm.add()
    limited, asked = crm.over(max_rows=3), task(Operation.ERASE, email(customer.emails[0]))
    result = await limited.one(asked)
    assert isinstance(result, BlastRadius)
    assert result.exceeded is not None
    assert await crm.party(customer) is not None
    done = await limited.receipt(replace(asked, confirmed={Limit.MAX_ROWS: result.exceeded.found}))
    assert done.outcome is TaskOutcome.ERASED


async def test_a_crm_that_is_away_is_unavailable_and_back_when_it_is(crm: Crm) -> None:
    customer = await crm.add()
    erase = task(Operation.ERASE, email(customer.emails[0]))
    crm.tryton.kill()
    try:
        with pytest.raises(Unavailable):
            await crm.one(erase)
    finally:
        crm.tryton.start()
    assert (await crm.receipt(erase)).outcome is TaskOutcome.ERASED
