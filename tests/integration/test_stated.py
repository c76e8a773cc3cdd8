"""A call record is not rewritten: what the person says of it stands beside it, and goes where it goes (Art. 16)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.domain.errors import NotSupported, SystemRefused
from shared.domain.identities import Identity
from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome
from shared.downstreams.contract import Task
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, SqlEngine, ask, call, each, engine, number
from tests.fixtures.customer_store import CustomerStore
from tests.fixtures.downstream import email, receipt, task

STARTED = "2026-03-02T10:00:00+00:00"
AT = datetime(2026, 11, 27, 9, tzinfo=UTC)
SAID = "seconds: it was 20 seconds (2026-11-27)"
HELD = "SELECT field, said FROM dsr_platform.stated ORDER BY field, said"


def says(subject: Identity, asserted: str, field: str = "seconds", started: str = STARTED) -> Task:
    """A statement about the calls of somebody that an access shows as begun then."""
    meant = ShownRecord(category="call_record", fields={"started": started})
    about = Change(field=field, asserted=asserted, record=meant)
    return replace(task(Operation.RECTIFY, subject), changes=(about,), at=AT)


async def read(calls: SqlEngine, subject: Identity) -> Mapping[str, Any]:
    """What the call record of somebody shows them."""
    records = (await calls.receipt(task(Operation.EXPORT, subject))).records
    [record] = [each for each in records if each.category == "call_record"]
    assert record.portable
    assert "statement" not in record.not_provided
    return record.data


async def test_a_statement_stands_beside_the_record_for_whoever_has_made_it_and_changes_nothing_of_it(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, "2026-04-01")])
    row = "SELECT duration, caller, callee FROM acc_cdrs ORDER BY start_time"
    before = await ask(cdr_store.admin, row)
    done = await calls.receipt(first := says(number(ANNA), "it was 20 seconds"))
    assert (done.outcome, done.changed, done.corrected, done.stated) == (TaskOutcome.AMENDED, 0, (1,), True)
    assert done.by_category == {"call_record": 1}
    assert (await read(calls, number(ANNA)))["statement"] == SAID
    assert "statement" not in await read(calls, number(CHIARA))
    both = await calls.run(*each(Operation.EXPORT, number(ANNA), number(BORIS)))
    told = [[r for r in receipt(one).records if "statement" in r.data] for one in both]
    assert [len(theirs) for theirs in told] == [1, 0], "in one call too, whose the statement is not reads none"
    assert await ask(cdr_store.admin, row) == before
    assert await calls.receipt(calls.again(first)) == done
    await calls.receipt(says(number(ANNA), "22 seconds"))
    await calls.receipt(says(number(ANNA), "I called the shop", "to"))
    all_said = "it was 20 seconds (2026-11-27)\nseconds: 22 seconds"
    assert await ask(cdr_store.admin, HELD) == [("seconds", all_said), ("to", "I called the shop")]
    await calls.receipt(calls.again(first))
    assert await ask(cdr_store.admin, HELD) == [("seconds", all_said), ("to", "I called the shop")], (
        "each stands there once"
    )
    shown = (await read(calls, number(ANNA)))["statement"].split("\n")
    assert {SAID, "seconds: 22 seconds (2026-11-27)"} <= {*shown}, "nothing that was told to stand there is gone"


@pytest.mark.parametrize(
    ("subject", "started"),
    [(number(ANNA), "2026-03-02T10:00:01+00:00"), (number(ANNA), "2026-04-01T10:00:00+00:00")],
    ids=["nobody's call", "somebody else's call"],
)
async def test_a_record_that_an_access_would_not_show_them_bears_no_statement(
    cdr_store: CdrStore, calls: SqlEngine, subject: Identity, started: str
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(CHIARA, BORIS, "2026-04-01")])
    left = await calls.receipt(says(subject, "not me", started=started))
    assert (left.outcome, left.corrected, left.stated) == (TaskOutcome.UNCHANGED, (0,), True)
    assert await ask(cdr_store.admin, HELD) == []


async def test_a_statement_about_a_field_that_the_record_does_not_have_is_refused_with_those_that_it_has(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    refused = await calls.one(says(number(ANNA), "x", "nosuch"))
    assert isinstance(refused, SystemRefused)
    assert "seconds" in str(refused)
    assert "nosuch" not in str(refused), "whatever somebody has written there"
    assert await ask(cdr_store.admin, HELD) == []


async def test_a_number_that_is_withheld_from_them_names_no_record(cdr_store: CdrStore, calls: SqlEngine) -> None:
    await cdr_store.seed([call(ANNA, BORIS, pai=ANNA)])
    meant = ShownRecord(category="call_record", fields={"from": ANNA, "network_number": ANNA})
    asked = replace(
        task(Operation.RECTIFY, number(BORIS)), changes=(Change(field="from", asserted="x", record=meant),), at=AT
    )
    assert (await calls.receipt(asked)).corrected == (0,)


async def test_a_statement_is_over_once_its_author_is_erased_though_the_other_partys_record_stays(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS)])
    await calls.receipt(says(number(ANNA), "A"))
    await calls.receipt(says(number(BORIS), "B"))
    await calls.receipt(task(Operation.ERASE, number(ANNA)))
    assert await ask(cdr_store.admin, HELD) == [("seconds", "B")]
    assert (await read(calls, number(BORIS)))["statement"] == "seconds: B (2026-11-27)"
    await calls.receipt(task(Operation.ERASE, number(BORIS)))
    assert await ask(cdr_store.admin, HELD) == []


async def test_a_statement_goes_with_its_record_when_that_is_past_its_ceiling_and_no_other_does(
    cdr_store: CdrStore, calls: SqlEngine
) -> None:
    await cdr_store.seed([call(ANNA, BORIS), call(ANNA, BORIS, "2026-04-02")])
    for asked in (says(number(ANNA), "old"), says(number(ANNA), "new", started="2026-04-02T10:00:00+00:00")):
        await calls.receipt(asked)
    await sweep(calls, due("acc_cdrs", "call_start", "2026-04-01"))
    assert await ask(cdr_store.admin, HELD) == [("seconds", "new")]


async def test_a_record_of_theirs_in_a_table_that_keeps_no_statements_is_a_persons_task(
    customer_store: CustomerStore,
) -> None:
    """Two tables of one category, of which one alone bears statements."""
    text = customer_store.dataset.read_text(encoding="utf-8")
    both = text.replace('category = "number"', 'category = "contact"\nstated = true', 1)
    customer_store.dataset.write_text(both, encoding="utf-8")
    meant = ShownRecord(category="contact", fields={"subject": "Invoice"})
    about = Change(field="subject", asserted="I never asked", record=meant)
    async with engine(customer_store.dsn, customer_store.dataset, {}) as customers:
        said = [
            replace(task(Operation.RECTIFY, email(who)), changes=(about,), at=AT)
            for who in ("boris@example.org", "nobody@example.org")
        ]
        left, nobody = await customers.run(*said)
    assert isinstance(left, NotSupported)
    assert "contact of store holds records of theirs and keeps no statements" in str(left)
    assert receipt(nobody).outcome is TaskOutcome.NO_MATCH
