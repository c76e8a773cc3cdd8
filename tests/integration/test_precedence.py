"""An erasure with located identities waits for other requests of the same person (G1, Art. 18)."""

import asyncio
from functools import partial
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from services.erasure import precedence
from shared.domain.errors import LimitExceeded, Refused
from shared.domain.events import LimitConfirmed, RetryRequested
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Exceeded, Limit, Operation, TaskOutcome
from shared.domain.precedence import RequestKind, RequestMarks
from shared.domain.rights import Right
from shared.fulfilment.handlers import confirm, retry
from shared.storage import open_requests
from shared.storage.postgres import Connection
from shared.systems.contract import Receipt
from tests.fixtures.engine import ACCOUNT, Harness, OpenHarness, ScriptedSystem, SetClock, each
from tests.fixtures.events import a
from tests.fixtures.intake import Intake, id_of
from tests.fixtures.live import eventually

OTHER_ADDRESS = Identity(IdentityType.EMAIL, "ada.l@example.org", source="crm")
ANOTHER = Identity(IdentityType.EMAIL, "eve@example.org")


@pytest.fixture
async def harness(open_harness: OpenHarness) -> Harness:
    """Erasure over a CRM that knows everybody by two addresses and an account, and a store that hangs on it."""
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(OTHER_ADDRESS, ACCOUNT)))
    crm = ScriptedSystem("crm", yields=frozenset({IdentityType.ACCOUNT_ID}), answers={Operation.LOCATE: found})
    shop = ScriptedSystem("shop", frozenset({IdentityType.ACCOUNT_ID}))
    opened = await open_harness(crm, shop)
    opened.fulfilments.must_wait = precedence.postponed
    return opened


async def known(harness: Harness, kind: RequestKind, *identities: Identity) -> UUID:
    """Opens another request, of the person with these identities."""
    request_id = uuid7()
    marks = RequestMarks.of(harness.unit_of_work.vault.keyring, identities)
    async with harness.pool.acquire() as connection:
        await open_requests.enter(connection, [(request_id, kind, marks)])
    return request_id


async def located(harness: Harness) -> UUID:
    """An erasure whose subject has been located."""
    [request_id] = await harness.open()
    await harness.worker("crm", Operation.LOCATE).work()
    return request_id


@pytest.mark.parametrize("kind", [RequestKind.COPY, RequestKind.RESTRICTION])
async def test_account_index_is_seen_by_the_only_system(open_harness: OpenHarness, kind: RequestKind) -> None:
    found = each(lambda task: Receipt(task.task_id, TaskOutcome.LOCATED, 1, identities=(ACCOUNT,)))
    account = frozenset({IdentityType.ACCOUNT_ID})
    alone = await open_harness(ScriptedSystem("crm", yields=account, answers={Operation.LOCATE: found}))
    alone.fulfilments.must_wait = precedence.postponed
    await known(alone, kind, ACCOUNT)
    request_id = await located(alone)
    assert await alone.states(request_id) == {"crm:locate": "done", "crm:erase": "waiting"}


@pytest.mark.parametrize("proved", [(OTHER_ADDRESS,), (ACCOUNT,), (OTHER_ADDRESS, ACCOUNT)])
@pytest.mark.parametrize("kind", [RequestKind.COPY, RequestKind.RESTRICTION])
async def test_located_accounts_link_addresses(
    harness: Harness, kind: RequestKind, proved: tuple[Identity, ...]
) -> None:
    other = await known(harness, kind, *proved)
    request_id = await located(harness)
    assert await harness.states(request_id) == {"crm:locate": "done", "shop:erase": "waiting", "crm:erase": "waiting"}
    assert await harness.outbox() == ["dsr.fulfilment.postponed.v1"]
    assert "fulfilment.postponed" in await harness.actions(request_id)

    await harness.retry(request_id)  # a retry does not get past it
    assert (await harness.states(request_id))["shop:erase"] == "waiting"
    async with harness.pool.acquire() as connection:
        await open_requests.end(connection, [other])
    await harness.retry(request_id)
    assert (await harness.states(request_id))["shop:erase"] == "ready"


@pytest.mark.parametrize(("regardless", "goes_on"), [(False, "waiting"), (True, "ready")])
async def test_dual_decision_is_not_postponed(
    harness: Harness,
    regardless: bool,  # noqa: FBT001  # as the table says
    goes_on: str,
) -> None:
    await known(harness, RequestKind.COPY, ACCOUNT)
    await known(harness, RequestKind.RESTRICTION, ACCOUNT)
    request_id = await located(harness)
    decided = a(RetryRequested, request_id=request_id, right=Right.ERASURE, regardless=regardless)
    async with harness.unit_of_work.begin() as tx:
        await retry(harness.fulfilments, [decided], tx)
    assert (await harness.states(request_id))["shop:erase"] == goes_on


async def test_shared_address_with_another_proved_account_is_another_person(harness: Harness) -> None:
    await known(harness, RequestKind.COPY, OTHER_ADDRESS, Identity(IdentityType.ACCOUNT_ID, "C-other"))
    await known(harness, RequestKind.COPY, ANOTHER)
    await known(harness, RequestKind.ERASURE, ACCOUNT)
    request_id = await located(harness)
    assert (await harness.states(request_id))["shop:erase"] == "ready"


async def test_concurrent_copy_is_seen_by_the_later_transaction(harness: Harness) -> None:
    copy, keys = uuid7(), harness.unit_of_work.vault.keyring
    [request_id] = await harness.open()
    marks = RequestMarks.of(keys, [OTHER_ADDRESS])
    async with harness.pool.acquire() as asking, asking.transaction():
        await open_requests.enter(asking, [(copy, RequestKind.COPY, marks)])
        erasing = asyncio.create_task(harness.worker("crm", Operation.LOCATE).work())
        await _until_it_waits(asking)
    await erasing
    assert (await harness.states(request_id))["shop:erase"] == "waiting"


async def stopped(harness: Harness) -> UUID:
    """An erasure that is done in the shop, and of which the rest waits for a person."""
    harness.systems["crm"].answers[Operation.ERASE] = each(lambda _: Refused("an invoice is unpaid"))
    request_id = await located(harness)
    await harness.worker("shop").work()
    await harness.worker("crm").work()
    assert await harness.fulfilment_state(request_id) == "blocked"
    return request_id


async def test_the_rest_of_an_erasure_that_was_stopped_waits_for_the_copy_that_came_meanwhile(harness: Harness) -> None:
    request_id = await stopped(harness)
    copy = await known(harness, RequestKind.COPY, OTHER_ADDRESS)
    await harness.retry(request_id)
    assert (await harness.states(request_id))["crm:erase"] == "failed"
    assert (await harness.outbox())[-1] == "dsr.fulfilment.postponed.v1"
    async with harness.pool.acquire() as connection:
        await open_requests.end(connection, [copy])
    await harness.retry(request_id)
    assert (await harness.states(request_id))["crm:erase"] == "ready"


async def test_confirmed_limit_does_not_start_a_rest_that_waits_for_a_copy(harness: Harness) -> None:
    exceeded = Exceeded(limit=Limit.MAX_ROWS, found=9, allowed=5)
    harness.systems["shop"].answers[Operation.ERASE] = each(lambda _: LimitExceeded("too many", exceeded))
    request_id = await located(harness)
    await harness.worker("shop").work()
    copy = await known(harness, RequestKind.COPY, OTHER_ADDRESS)
    event = a(LimitConfirmed, about=str(request_id), system="shop", limit=Limit.MAX_ROWS, at_most=9)
    async with harness.unit_of_work.begin() as tx:
        await confirm(harness.fulfilments, [event], tx)
    assert await harness.states(request_id) == {"crm:locate": "done", "shop:erase": "waiting", "crm:erase": "waiting"}
    async with harness.pool.acquire() as connection:
        await open_requests.end(connection, [copy])
    await harness.retry(request_id)
    assert (await harness.states(request_id))["shop:erase"] == "ready"


async def test_copy_requested_during_the_rest_is_seen_by_the_later_transaction(harness: Harness) -> None:
    request_id, copy = await stopped(harness), uuid7()
    marks = RequestMarks.of(harness.unit_of_work.vault.keyring, [OTHER_ADDRESS])
    async with harness.pool.acquire() as asking, asking.transaction():
        await open_requests.enter(asking, [(copy, RequestKind.COPY, marks)])
        going_on = asyncio.create_task(harness.retry(request_id))
        await _until_it_waits(asking)
    await going_on
    assert (await harness.states(request_id))["crm:erase"] == "failed"


async def test_nothing_but_hashes_is_kept_of_who_asks(harness: Harness) -> None:
    await known(harness, RequestKind.COPY, ACCOUNT, OTHER_ADDRESS)
    rows = await harness.pool.fetch("SELECT * FROM vault.open_request")
    assert {len(row["mark"]) for row in rows} == {32}
    assert OTHER_ADDRESS.value not in str(rows)


async def _until_it_waits(connection: Connection) -> None:
    """Returns once another transaction waits for a lock that this one holds."""
    await eventually(partial(connection.fetchval, "SELECT count(*) FROM pg_locks WHERE NOT granted"))


# Other requests of the same person: named with an access, and shown where they ask for the same.
MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def repeated(intake: Intake, path: str) -> list[str]:
    view = (await intake.officer.get(path)).raise_for_status().json()
    return [each["request_id"] for each in view.get("repeated", [])]


async def test_repeated_request_is_worked_and_shown_as_a_repeat(intake: Intake, clock: SetClock) -> None:
    first = await intake.submit(subject=MIA)
    clock.pass_by(days=3)
    again = await intake.submit(subject=MIA)
    assert (await repeated(intake, first), await repeated(intake, again)) == ([id_of(again)], [id_of(first)])
    assert (await intake.types()).count("verified") == 2
    view = await intake.view(again)
    assert (view["state"], view["due_on"], "repeated" in view) == ("in_progress", "2026-04-04", False)
    await intake.complete(first)
    assert await repeated(intake, again) == []
    await intake.complete(again)
    assert (await intake.view(again))["outcome"] == "fulfilled"


async def test_what_asks_for_anything_else_or_proves_another_person_repeats_nothing(intake: Intake) -> None:
    first = await intake.submit(subject=MIA)
    await intake.submit(right="portability", subject=MIA)
    await intake.submit(right="rectification", subject=MIA, **CITY)
    await intake.submit(role="processor", subject=MIA)
    await intake.submit(subject=MIA | {"account_id": "C-8"})
    await intake.submit(subject=MIA, assurance=None)
    assert await repeated(intake, first) == []
    by_address = await intake.submit(subject={"email": MIA["email"]})
    assert id_of(by_address) in await repeated(intake, first)


async def test_access_names_only_other_requests_of_the_subject(intake: Intake) -> None:
    objection = await intake.submit(subject=MIA, right="objection", scope="direct_marketing")
    await intake.submit(subject=MIA | {"account_id": "C-8"})
    await intake.submit(subject={"email": "eve@example.org"})
    by_address = await intake.submit(subject={"email": MIA["email"]}, right="portability")
    access = await intake.submit(subject=MIA)
    await intake.complete(access)
    later = await intake.submit(subject=MIA)
    named = {event["request_id"]: event["of_same_person"] for event in await intake.published() if "language" in event}
    assert [sorted(named[id_of(each)]) for each in (objection, access, later)] == [
        [],
        sorted([id_of(objection), id_of(by_address)]),
        sorted([id_of(objection), id_of(by_address), id_of(access)]),
    ]
