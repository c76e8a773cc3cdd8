"""Website events are anonymised after fourteen months, and no person can be identified in them again."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

from deploy.demo.company.model import Visit
from deploy.demo.seed.analytics import AnalyticsStore
from shared.domain.errors import LimitExceeded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import OF_ONE_PERSON, Change, Limit, Operation, ShownRecord, TaskOutcome
from shared.systems.contract import Receipt
from shared.systems.sweepable import SweepResult
from tests.fixtures.analytics import counted, due, sweep, visit
from tests.fixtures.cdr import SqlEngine, ask, store_of
from tests.fixtures.downstream import email, receipt, task

PEOPLE = [f"{n:04}.browser-of-{n:04}" for n in range(30)]
LONER = PEOPLE[-1]
ANONYMISE = due("event", "event_time", "2025-09-01", "anonymise")
ROWS = "SELECT event_id, occurred_at, client_id, account_id, kind, page, country, device FROM event"


def history() -> list[Visit]:
    """Many people view the same pages; one with an account views a page of their own."""
    seen = [
        visit(day, who, page=page) for day in ("2025-08-11", "2025-08-12") for who in PEOPLE for page in ("/", "/help")
    ]
    seen += [visit("2025-08-12", LONER, "C100001", page="/help/moving-from-ie", country="IE")]
    seen += [visit("2026-08-12", LONER, "C100001", page="/prices")]
    return sorted(seen, key=attrgetter("occurred_at"))


async def rows(store: AnalyticsStore, *, anonymised: bool) -> list[tuple[Any, ...]]:
    """Returns what an attacker with the whole table has."""
    sign = "<" if anonymised else ">="
    return await ask(store.admin, f"{ROWS} WHERE occurred_at {sign} '2025-09-01+00'")


async def test_no_person_is_identified_in_anonymised_rows(analytics_store: AnalyticsStore, events: SqlEngine) -> None:
    """The attacker has a copy of the table from before, the CRM, and knows on which day the loner has read what."""
    await analytics_store.seed(history())
    before = await rows(analytics_store, anonymised=True)
    assert await counted(events, ANONYMISE) == (121, 122)
    assert await sweep(events, ANONYMISE) == [SweepResult(121, 0)]
    after = await rows(analytics_store, anonymised=True)
    assert len(after) == len(before)
    # No key that joins with what others have noted, and nothing that singles out.
    assert {row[0] for row in before}.isdisjoint(row[0] for row in after)
    assert {row[2:4] for row in after} == {(None, None)}
    assert {row[1].isoformat() for row in after} == {"2025-08-01T00:00:00+00:00"}
    # Each combination that is left had at least ten people.
    assert fewest(before, after) >= 10
    assert "/help/moving-from-ie" not in str(after)
    assert "IE" not in str(after)
    # The later event keeps its person until its own day.
    assert [row[2] for row in await rows(analytics_store, anonymised=False)] == [LONER]
    assert await counted(events, ANONYMISE) == (0, 122)


def fewest(before: Sequence[tuple[Any, ...]], after: Sequence[tuple[Any, ...]]) -> int:
    """Returns the fewest people who may have made a combination of the remaining values.

    A blanked value matches any value.
    """
    people: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in after:
        remaining = row[4:]
        for old in before:
            if all(now is None or now == then for now, then in zip(remaining, old[4:], strict=True)):
                people[remaining].add(old[2])
    return min(map(len, people.values()))


async def test_erasure_finds_events_by_browser_or_account(analytics_store: AnalyticsStore, events: SqlEngine) -> None:
    await analytics_store.seed(history())
    browser = Identity(IdentityType.CLIENT_ID, PEOPLE[0])
    account = Identity(IdentityType.ACCOUNT_ID, "C100001")
    done = [await events.receipt(task(Operation.ERASE, each)) for each in (browser, account)]
    assert [(each.outcome, each.found) for each in done] == [(TaskOutcome.ERASED, 4), (TaskOutcome.ERASED, 2)]
    left = await ask(analytics_store.admin, "SELECT count(*) FROM event WHERE client_id = $1", LONER)
    assert left == [(4,)]


async def test_what_was_anonymised_goes_at_its_end(analytics_store: AnalyticsStore, events: SqlEngine) -> None:
    await analytics_store.seed(history())
    await sweep(events, ANONYMISE)
    assert await sweep(events, due("event", "event_time", "2026-08-12")) == [SweepResult(121, 0)]
    assert len(await ask(analytics_store.admin, ROWS)) == 1


# Records that name no one are neither shown nor changed for a person who named their account elsewhere (REQ-N5,
# REQ-S1).
SCHEMA = """
CREATE TABLE customer (id text PRIMARY KEY, email text);
CREATE TABLE contract (id int PRIMARY KEY, customer text REFERENCES customer, tariff text);
CREATE TABLE call (id int PRIMARY KEY, account text, seconds int, kept boolean NOT NULL DEFAULT false);
CREATE TABLE ticket (id int PRIMARY KEY, mail text, account text);
CREATE INDEX ON customer (lower(email)); CREATE INDEX ON call (account); CREATE INDEX ON contract (customer);
CREATE INDEX ON ticket (mail); CREATE INDEX ON ticket (account);
INSERT INTO customer VALUES ('C-7', NULL), ('C-9', 'ada@example.org');
INSERT INTO contract VALUES (1, 'C-7', 'old');
INSERT INTO call VALUES (1, 'C-1', 60, true), (2, 'C-1', 61, false), (3, 'C-9', 62, false);
INSERT INTO ticket VALUES (1, 'mallory@example.org', 'C-1'), (2, 'zed@example.org', 'C-7');
"""
"""C-1 is left of an erasure; C-7 never had an address. Mallory and Zed have written under them."""
DATASET = """
name = "shop"
[tables.customer]
category = "customer"
primary_key = ["id"]
person = "id"
columns = { id = { class = "A", identity = "account_id", yields = true }, email = { class = "A", identity = "email", match = "lower" } }
[tables.contract]
category = "note"
primary_key = ["id"]
belongs_to = [{ table = "customer", on = { customer = "id" } }]
columns = { id = { class = "T" }, customer = { class = "T" }, tariff = { class = "C" } }
[tables.call]
category = "call"
primary_key = ["id"]
stated = true
columns = { id = { class = "T" }, account = { class = "A", identity = "account_id" }, seconds = { class = "M" }, kept = { class = "T" } }
[tables.ticket]
category = "ticket"
primary_key = ["id"]
columns = { id = { class = "T" }, mail = { class = "A", identity = "email" }, account = { class = "A", identity = "account_id", yields = true } }
"""  # noqa: E501
AT = datetime(2026, 11, 27, tzinfo=UTC)
ALL = "SELECT (SELECT count(*) FROM customer), (SELECT count(*) FROM contract), (SELECT count(*) FROM call)"
dsn, shop = store_of(SCHEMA, DATASET)


def account(value: str, *, claimed: bool) -> Identity:
    return Identity(IdentityType.ACCOUNT_ID, value, source="desk", level="L2", claimed=claimed)


async def test_who_has_named_an_account_gets_none_of_its_rows(shop: SqlEngine, dsn: str) -> None:
    record = ShownRecord(category="call", fields={"seconds": 60})
    changes = (Change(field="seconds", asserted="it was shorter", record=record),)
    # Eve is known elsewhere, the others in this store; C-1 has calls, C-7 is a customer.
    for who, value in (("eve", "C-1"), ("eve", "C-7"), ("mallory", "C-1"), ("zed", "C-7")):
        for operation in sorted(OF_ONE_PERSON - {Operation.LIFT}):
            asked = replace(task(operation, email(f"{who}@example.org"), account(value, claimed=True)), system="store")
            result = await shop.one(replace(asked, changes=changes if operation is Operation.RECTIFY else ()))
            assert isinstance(result, LimitExceeded), (operation, result)
            assert result.exceeded
            assert (result.exceeded.limit, result.exceeded.found) == (Limit.MAX_PEOPLE, 2)
    assert await ask(dsn, ALL) == [(2, 1, 3)]
    assert await ask(dsn, "SELECT count(*) FROM dsr_platform.stated") == [(0,)]


async def test_what_a_row_of_a_store_names_leads_to_nothing_in_the_same_store_and_a_proof_does(shop: SqlEngine) -> None:
    for who, value, theirs in (("mallory", "C-1", {"call": 2}), ("zed", "C-7", {"customer": 1, "note": 1})):
        asked = replace(task(Operation.LOCATE, email(f"{who}@example.org")), system="store")
        stopped = await shop.one(asked)
        assert isinstance(stopped, LimitExceeded), stopped
        assert "nothing there shows to be theirs" in str(stopped)
        proved = (*asked.identities, account(value, claimed=False))
        copied = await shop.one(replace(asked, operation=Operation.EXPORT, identities=proved))
        assert isinstance(copied, Receipt), copied
        assert {name: rows for name, rows in copied.by_category.items() if rows} == {**theirs, "ticket": 1}


async def test_two_approvers_or_a_proof_or_the_store_confirm_an_account(shop: SqlEngine) -> None:
    stranger = replace(task(Operation.EXPORT, email("eve@example.org")), system="store")
    claimed = replace(stranger, identities=(*stranger.identities, account("C-1", claimed=True)))
    certain = replace(stranger, identities=(account("C-1", claimed=False),))
    ada = replace(stranger, identities=(email("ada@example.org"), account("C-9", claimed=True)))
    for asked, found in (
        (replace(claimed, confirmed={Limit.MAX_PEOPLE: 3}), {"call": 2, "ticket": 1}),
        (certain, {"call": 2, "ticket": 1}),
        (ada, {"customer": 1, "call": 1}),
    ):
        result = await shop.one(asked)
        assert isinstance(result, Receipt), result
        assert {name: rows for name, rows in result.by_category.items() if rows} == found


async def test_kept_rows_still_show_their_account_for_the_later_erasure(shop: SqlEngine, dsn: str) -> None:
    known = (email("ada@example.org"), account("C-9", claimed=True))
    asked = replace(task(Operation.PLAN, *known), system="store", held_categories=frozenset({"customer"}), at=AT)
    planned, done = [receipt(await shop.one(replace(asked, operation=o))) for o in (Operation.PLAN, Operation.ERASE)]
    assert (planned.found, planned.remaining) == (done.found, done.remaining) == (2, 1)
    assert await ask(dsn, ALL) == [(2, 1, 2)], "her call went, and nothing of anybody else"
    mallory = replace(asked, identities=(email("mallory@example.org"), account("C-1", claimed=True)))
    for operation in (Operation.PLAN, Operation.ERASE):
        assert isinstance(await shop.one(replace(mallory, operation=operation)), LimitExceeded)
