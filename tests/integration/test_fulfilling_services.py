"""What erasure, export and amendment each add to the same machine."""

import asyncpg
import pytest
from uuid_utils.compat import uuid7

from services.amendment import handlers as amendment
from services.erasure import handlers as erasure
from services.export import handlers as export
from shared.bus.topics import ServiceName
from shared.downstreams.contract import Operation, TaskOutcome
from shared.events import LiftDecided, RequestClosed, RequestVerified, RequestWithdrawn, TaskReport
from shared.fulfilment import Completed
from shared.identities import Identity, IdentityType
from shared.plan import stages
from shared.rights import Outcome, Right
from shared.vault import Sealing
from tests.fixtures.engine import DUE, Office, OpenOffice, ScriptedSystem, SetClock

EMAIL = Identity(IdentityType.EMAIL, "ada@example.org")
PHONE = Identity(IdentityType.PHONE, "+442079460000")
NAME = Identity(IdentityType.NAME, "Ada")


async def verified(office: Office, right: Right, *identities: Identity, scope: str | None = None) -> RequestVerified:
    return RequestVerified(
        request_id=uuid7(),
        occurred_at=office.transactions.clock.now(),
        right=right,
        subject=await office.subject(*identities),
        scope=scope,
        due_on=DUE,
    )


def done(event: RequestVerified, operation: Operation, outcome: TaskOutcome = TaskOutcome.AMENDED) -> Completed:
    report = TaskReport(task_id=uuid7(), system="crm", operation=operation, outcome=outcome, found=1, changed=1)
    return Completed(uuid7(), event.request_id, event.subject, event.right, operation, {}, (report,))


async def rows(office: Office, statement: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await office.pool.fetch(statement)]


async def in_amendment(open_office: OpenOffice) -> Office:
    office = await open_office(ScriptedSystem("crm"), service=ServiceName.AMENDMENT)
    systems = [system.declared for system in office.systems.values()]
    office.transactions.plans = {operation: stages(systems, operation) for operation in Operation}
    return office


async def test_a_closed_erasure_shreds_the_key_of_its_subject_and_of_nobody_else(open_office: OpenOffice) -> None:
    office = await open_office()
    event, other = await verified(office, Right.ERASURE), await verified(office, Right.ERASURE)
    closed = RequestClosed(
        request_id=event.request_id,
        occurred_at=event.occurred_at,
        right=event.right,
        subject=event.subject,
        outcome=Outcome.FULFILLED,
        responded_at=event.occurred_at,
    )
    async with office.transactions.begin() as tx:
        await erasure.shred_key([closed, closed], tx)
    async with office.pool.acquire() as connection:
        known = await office.transactions.vault.statements(connection, [event.subject, other.subject])
    assert set(known) == {other.subject}
    assert await office.actions(event.request_id) == ["key.shredded"]


async def test_a_key_stays_while_the_request_may_be_resumed_and_goes_with_the_closure_for_good(
    open_office: OpenOffice,
) -> None:
    office = await open_office()
    event = await verified(office, Right.ERASURE)
    silent = RequestClosed(
        request_id=event.request_id,
        occurred_at=event.occurred_at,
        right=event.right,
        subject=event.subject,
        outcome=Outcome.PARTIALLY_FULFILLED,
        responded_at=event.occurred_at,
        resumable=True,
    )
    async with office.transactions.begin() as tx:
        await erasure.shred_key([silent], tx)
    assert await office.actions(event.request_id) == []
    final = silent.model_copy(update={"outcome": Outcome.WITHDRAWN, "resumable": False})
    async with office.transactions.begin() as tx:
        await erasure.shred_key([silent, final], tx)
    assert await office.actions(event.request_id) == ["key.shredded"]


async def test_an_erasure_that_was_forwarded_keeps_its_key_since_nothing_was_erased(open_office: OpenOffice) -> None:
    office = await open_office()
    event = await verified(office, Right.ERASURE)
    closed = RequestClosed(
        request_id=event.request_id,
        occurred_at=event.occurred_at,
        right=event.right,
        subject=event.subject,
        outcome=Outcome.FORWARDED,
        responded_at=event.occurred_at,
    )
    async with office.transactions.begin() as tx:
        await erasure.shred_key([closed], tx)
    async with office.pool.acquire() as connection:
        assert set(await office.transactions.vault.statements(connection, [event.subject])) == {event.subject}


@pytest.mark.parametrize(("right", "names"), [(Right.ACCESS, 2), (Right.PORTABILITY, 1)])
async def test_a_finished_export_is_one_sealed_package_and_the_pieces_are_gone(
    open_office: OpenOffice, right: Right, names: int
) -> None:
    office = await open_office(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(office, right)
    pieces = b'[["contact","party",{"name":"Ada"},true],["score","risk",{"score":3},false]]'
    async with office.transactions.begin() as tx:
        await tx.vault.seal(tx.connection, [Sealing(event.subject, "records", "crm", pieces)], tx.now)
        await export.finish([done(event, Operation.EXPORT, TaskOutcome.EXPORTED)], tx)
    assert await rows(office, "SELECT kind, source FROM vault.sealed") == [("package", "export")]
    [(told,)] = await rows(office, "SELECT convert_from(value, 'UTF8')::json->>'package_id' FROM outbox")
    async with office.transactions.begin() as tx:
        [(sealed_id, _, content)] = await tx.vault.open_kind(tx.connection, event.subject, "package")
    assert (str(sealed_id), content[:2]) == (told, b"PK")
    records = await rows(office, "SELECT detail::json->>'records' FROM evidence.entry WHERE action = 'package.built'")
    assert records == [(str(names),)]


async def test_an_export_that_found_nothing_says_so_and_makes_no_package(open_office: OpenOffice) -> None:
    office = await open_office(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(office, Right.ACCESS)
    async with office.transactions.begin() as tx:
        await export.finish([done(event, Operation.EXPORT, TaskOutcome.NO_MATCH)], tx)
    [(told,)] = await rows(office, "SELECT convert_from(value, 'UTF8')::jsonb FROM outbox")
    assert isinstance(told, dict)
    assert (told["outcome"], told["package_id"]) == ("no_data", None)


async def test_a_withdrawn_export_drops_what_was_collected(open_office: OpenOffice) -> None:
    office = await open_office(ScriptedSystem("crm"), service=ServiceName.EXPORT)
    event = await verified(office, Right.ACCESS)
    withdrawn = RequestWithdrawn(
        request_id=event.request_id, occurred_at=event.occurred_at, right=event.right, subject=event.subject
    )
    async with office.transactions.begin() as tx:
        await export.begin([event], tx)
        await tx.vault.seal(tx.connection, [Sealing(event.subject, "records", "crm", b"[]")], tx.now)
    async with office.transactions.begin() as tx:
        await export.cancel([withdrawn], tx)
    assert await rows(office, "SELECT kind FROM vault.sealed") == []
    assert await office.states(event.request_id) == {"crm:export": "cancelled"}


async def test_an_objection_is_in_force_in_our_own_list_at_once_and_by_fingerprint_only(
    open_office: OpenOffice,
) -> None:
    office = await in_amendment(open_office)
    event = await verified(office, Right.OBJECTION, EMAIL, PHONE, NAME, scope="direct_marketing")
    again = await verified(office, Right.OBJECTION, EMAIL)
    async with office.transactions.begin() as tx:
        await amendment.begin([event, again], tx)
    fingerprint = office.transactions.vault.keyring.fingerprint
    listed = {tuple(row) for row in await office.pool.fetch("SELECT fingerprint, channel FROM suppression")}
    assert listed == {(fingerprint(EMAIL), "email"), (fingerprint(PHONE), "phone")}
    assert await office.states(event.request_id) == {"crm:suppress": "ready"}
    assert await rows(office, "SELECT details->>'scope' FROM fulfilment WHERE details <> '{}'") == [
        ("direct_marketing",)
    ]


async def test_a_restriction_stands_in_the_register_until_it_is_lifted(
    open_office: OpenOffice, clock: SetClock
) -> None:
    office = await in_amendment(open_office)
    event = await verified(office, Right.RESTRICTION, scope="accuracy_contested")
    async with office.transactions.begin() as tx:
        await amendment.begin([event], tx)
        await amendment.finish([done(event, Operation.RESTRICT)], tx)
    assert await rows(office, "SELECT request_id, lifted_at FROM restriction") == [(event.request_id, None)]
    clock.pass_by(days=10)
    decided = LiftDecided(
        request_id=event.request_id, occurred_at=clock.now(), right=event.right, subject=event.subject, due_on=DUE
    )
    async with office.transactions.begin() as tx:
        await amendment.lift([decided], tx)
        await amendment.finish([done(event, Operation.LIFT)], tx)
    assert await rows(office, "SELECT lifted_at FROM restriction") == [(clock.now(),)]
    actions = await office.actions(event.request_id)
    assert [action for action in actions if action.startswith("restriction")] == [
        "restriction.applied",
        "restriction.lifted",
    ]


async def test_nobody_but_the_service_itself_sees_the_tables_of_a_service_by_default(open_office: OpenOffice) -> None:
    office = await open_office()
    with pytest.raises(asyncpg.UndefinedTableError):
        await office.pool.fetch("SELECT * FROM restriction")
