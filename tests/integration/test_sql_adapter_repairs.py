"""What a repair and a lift change in a SQL store: what is in force and missing there, and nothing of anybody else's."""

from dataclasses import replace

from deploy.demo.seed.cdr import CdrStore
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.contract import Task
from tests.fixtures.cdr import ANNA, BORIS, SqlEngine, ask, at, call, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, task

EMAIL = email("anna.meier@example.org")
HELD = "SELECT number FROM restricted_number ORDER BY 1"


def repairing(first: Task, opened: int = 5_000) -> Task:
    """The repair of what that task has put in force, opened later."""
    later = task(first.operation, *first.identities)
    return replace(later, request_id=first.request_id, details={"repair": True}, turn=(opened, 0))


async def test_a_number_that_a_store_has_lost_is_put_back_and_one_that_somebody_else_put_there_is_left(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    first = task(Operation.RESTRICT, number(ANNA), number(ANNA, since=at("2026-01-01")))
    await calls.run(first)
    nothing = await calls.receipt(repairing(first))
    assert (nothing.outcome, nothing.changed) == (TaskOutcome.NO_MATCH, 0)
    lost = "DELETE FROM restricted_number WHERE valid_from = '2026-01-01 10:00+00'"
    theirs = "INSERT INTO restricted_number VALUES (gen_random_uuid(), '+34600000000', '2026-01-01', NULL)"
    for statement in (lost, theirs):
        await ask(cdr_store.admin, statement)
    again = repairing(first, 6_000)
    done = await calls.receipt(again)
    assert (done.outcome, done.by_category) == (TaskOutcome.AMENDED, {"restriction": 1})
    assert await calls.receipt(calls.again(again)) == done
    assert await ask(cdr_store.admin, HELD) == [("+34600000000",), (ANNA,), (ANNA,)]


async def test_who_was_erased_since_is_not_even_kept_as_restricted_by_a_repair(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    first = task(Operation.RESTRICT, number(ANNA))
    await calls.run(first)
    await calls.one(task(Operation.ERASE, number(ANNA)))
    assert (await calls.receipt(repairing(first))).outcome is TaskOutcome.NO_MATCH
    assert await ask(cdr_store.admin, HELD) == []


async def test_a_flag_that_a_store_has_lost_is_set_again_and_one_that_somebody_else_set_is_left(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    flags = "SELECT account_id FROM customer WHERE restricted ORDER BY 1"
    first = task(Operation.RESTRICT, EMAIL)
    await customers.run(first)
    assert (await customers.receipt(repairing(first))).outcome is TaskOutcome.NO_MATCH
    await customer_store.run("UPDATE customer SET restricted = account_id = 'C3'")
    assert (await customers.receipt(repairing(first, 6_000))).by_category == {"account": 1}
    assert await customer_store.ask(flags) == [("C1",), ("C3",)]


def marked(first: Task) -> Task:
    """The look of a night at a restriction that was lifted: nobody is searched for."""
    lift = replace(repairing(first), operation=Operation.LIFT, identities=())
    return replace(lift, details={"repair": True, "marked": True})


async def test_a_restored_store_no_longer_hides_what_a_lifted_request_of_ours_had_put_there_and_nothing_else_changes(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    lifted, other = (task(Operation.RESTRICT, number(each)) for each in (ANNA, BORIS))
    for each in (lifted, other):
        await calls.run(each)
    again = marked(lifted)
    done = await calls.receipt(again)
    assert (done.outcome, done.by_category) == (TaskOutcome.AMENDED, {"restriction": 1})
    assert await calls.receipt(calls.again(again)) == done
    assert await ask(cdr_store.admin, HELD) == [(BORIS,)]


async def test_a_flag_bears_no_mark_and_is_left_alone(customer_store: CustomerStore, customers: SqlEngine) -> None:
    first = task(Operation.RESTRICT, EMAIL)
    await customers.run(first)
    assert (await customers.receipt(marked(first))).outcome is TaskOutcome.NO_MATCH
    assert await customer_store.ask("SELECT account_id FROM customer WHERE restricted") == [("C1",)]


async def test_a_switch_that_somebody_had_set_before_ours_stays_when_ours_is_lifted(
    customer_store: CustomerStore, customers: SqlEngine
) -> None:
    await customer_store.run("DELETE FROM contact")  # where nothing tells who is restricted
    await customer_store.run("UPDATE customer SET restricted = true WHERE account_id = 'C1'")
    restrictions = [task(Operation.RESTRICT, email(each)) for each in ("anna.meier@example.org", "a.meier@example.net")]
    left: list[str] = []
    for restriction, bore in zip(restrictions, (True, False), strict=True):
        await customers.receipt(restriction)
        await customers.receipt(customers.again(restriction))  # a repeat sees what the first attempt has set
        flags = customers.notes[restriction.task_id]["flags"]
        assert isinstance(flags, dict)
        assert [*flags.values()] == [bore]
        assert not any(key in reference for reference in flags for key in ("C1", "C2")), "a key may be who it is"
        left += [reference for reference, was_set in flags.items() if was_set]
    for restriction in restrictions:
        await customers.receipt(task(Operation.LIFT, *restriction.identities, left={"system": [*left]}))
    shown = await customer_store.ask("SELECT account_id FROM customer WHERE restricted")
    assert shown == [("C1",)]
