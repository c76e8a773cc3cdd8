"""Every action: for a version, once, by role; and approved by another person while nothing has changed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import httpx
import jsonschema
import pytest
from uuid_utils.compat import uuid7

from services.intake.actions.action import TEXTS
from services.intake.actions.registry import ACTIONS, KINDS
from services.intake.api.resources import RESOURCES
from services.intake.request.blockers import RULES
from shared.domain.events import FulfilmentBlocked
from shared.domain.operations import Operation, TaskReport
from shared.storage.keyring import Keyring
from tests.fixtures.engine import SetClock
from tests.fixtures.events import a
from tests.fixtures.intake import PROPOSAL, REASONS, WORDS, Intake, beyond, id_of, running
from tests.fixtures.letters_sent import PROVED
from tests.fixtures.letters_sent import asked as asked_by_mail
from tests.integration.test_mail_read import mail, take
from tests.integration.test_objections import RESTRICTED
from tests.integration.test_objections import restricted as weighed

Body = dict[str, Any] | None
Prepare = Callable[[Intake], Awaitable[str]]
QUESTION = {"question": "clarification", "text": WORDS}
RECEIPT = {"received_at": "2026-02-20T09:00:00+01:00", "reason": "the letter lay in another tray"}


async def begun(intake: Intake) -> str:
    return await intake.submit()


async def unknown(intake: Intake) -> str:
    subject = {"email": "ada@example.org", "account_id": "C-17", "country": "DE"}
    return await intake.submit(assurance=None, subject=subject)


async def theirs(intake: Intake) -> str:
    return await intake.submit(assurance=None, role="processor")


async def restricted(intake: Intake) -> str:
    path = await intake.submit(right="restriction", ground="unlawful")
    await intake.complete(path, outcome="fulfilled", operation=Operation.RESTRICT, tasks=(RESTRICTED,))
    return path


async def blocked(intake: Intake) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path)))
    return path


async def stopped(intake: Intake) -> str:
    path = await intake.submit()
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), tasks=(beyond(3_000),)))
    return path


async def asked(intake: Intake) -> str:
    path = await intake.submit()
    await intake.ask(path, "clarification")
    return path


async def failed(intake: Intake, failure: str) -> str:
    path = await intake.submit(right="erasure")
    task = TaskReport(task_id=uuid7(), system="cdr", operation="erase", outcome=None, failure=failure)
    await intake.consume(a(FulfilmentBlocked, about=id_of(path), operation=Operation.ERASE, tasks=(task,)))
    return path


async def changed(intake: Intake, path: str, sql: str) -> str:
    await intake.unit_of_work.pool.execute(sql, UUID(id_of(path)))
    return path


async def erasing(intake: Intake) -> str:
    return await intake.submit(right="erasure")


async def waiting(intake: Intake) -> str:
    path = await intake.submit(right="erasure")
    postponed = "UPDATE request SET facts = facts || jsonb_build_object('postponed', true) WHERE request_id = $1"
    return await changed(intake, path, postponed)


async def answered(intake: Intake) -> str:
    path = await intake.submit()
    await intake.complete(path)
    return path


async def withheld(intake: Intake) -> str:
    path = await intake.submit()
    await intake.complete(path, package_id=(package_id := uuid7()))
    async with intake.unit_of_work.begin() as tx:
        for n in (1, 2, 3):
            seen = {"package_id": str(package_id), "fault": "not_proved", "holder": f"officer-{n}"}
            tx.log_evidence(UUID(id_of(path)), "package.viewed", seen)
    return await changed(intake, path, "UPDATE package SET fault = 'not_proved' WHERE request_id = $1")


async def questioned(intake: Intake) -> str:
    path = await unknown(intake)
    await intake.ask(path, "identity")
    return path


async def forwarded(intake: Intake) -> str:
    path = await theirs(intake)
    (await intake.officer.post(f"{path}/actions/forward", json=CUSTOMER)).raise_for_status()
    return path


async def disclosed(intake: Intake) -> str:
    return await changed(intake, await begun(intake), _CONCERNED)


_CONCERNED = """
INSERT INTO recipient_notice (request_id, recipient, what, categories, state, concerned_at)
VALUES ($1, 'carrier', 'erased', '{}', 'underway', now())
"""
IN_PERSON = {"assurance": {"level": "L2", "method": "in_person"}}
CUSTOMER = {"controller": "Harbour Cranes Ltd"}
RESULT = {"system": "cdr", "found": 0, "changed": 0}
ADDRESS = {"lines": ["Ada", "1 High Street", "London"], "on_file_in": "crm"}
ENDED = {"system": "cdr", "reason": "SYSTEM_DESTROYED", "article": "12(4)", "explanation": "It was shredded."}
ONE: dict[str, tuple[Prepare, Body]] = {
    "retry": (lambda intake: failed(intake, "table_missing"), None),
    "withdraw": (begun, None),
    "ask": (begun, QUESTION),
    "withdraw-question": (questioned, None),
    "record-reply": (asked, {"text": "everything"}),
    "correct-arrival": (begun, RECEIPT),
    "record-result": (lambda intake: failed(intake, "not_supported"), RESULT),
    "renew-package": (withheld, None),
    "lift": (restricted, None),
    "forward": (theirs, CUSTOMER),
    "record-controller-reply": (forwarded, {"text": "By Friday."}),
    "record-address": (begun, ADDRESS),
}
"""Actions by one person: the request, and the body."""
TWO: dict[str, tuple[Prepare, Body]] = {
    "verify": (unknown, IN_PERSON),
    "revoke-proof": (answered, {"identity": "email"}),
    "refuse": (begun, REASONS["refuse"]),
    "answer-in-part": (blocked, REASONS["answer_in_part"]),
    "end-part": (lambda intake: failed(intake, "system_retired"), ENDED),
    "weigh": (weighed, {"finding": "upheld", "explanation": "Nothing outweighs it."}),
    "override-wait": (waiting, None),
    "extend": (begun, PROPOSAL),
    "exceed-limit": (stopped, {"system": "billing", "limit": "max_rows"}),
    "release-package": (withheld, None),
}
"""Actions that need a second person."""


async def held(intake: Intake) -> str:
    placed = {
        "case_number": "LEG-2026-014",
        "reason": "LITIGATION",
        "review_on": "2026-08-31",
        "subject": {"account_id": "C1", "email": "ada@example.org"},
    }
    answer = (await intake.officer.post("/v1/holds", json=placed)).raise_for_status()
    return str(answer.headers["Location"])


async def kept(intake: Intake, path: str, sql: str) -> str:
    await intake.unit_of_work.pool.execute(sql)
    return path


_ON = "INSERT INTO downstreams.system (name, state, hash) VALUES ('a', 'on', 'a')"
_QUARANTINED = """
INSERT INTO downstreams.system (name, state, hash, reason) VALUES ('b', 'quarantined', 'b', 'by_a_person')
ON CONFLICT (name) DO UPDATE SET state = 'quarantined', reason = 'by_a_person'
"""
_SUSPENDED = "INSERT INTO suspended_key VALUES ('0123456789ab', now())"
_SWEEP = f"""
INSERT INTO downstreams.sweep (system, table_name, ceiling, category, sweep_id, action, state, night, period, zone,
                               anchor, first_kept, policy)
VALUES ('cdr', 'calls', 'calls_19m', 'call_record', '{UUID(int=1)}', 'delete', 'stopped', '2026-03-02', 'P19M', 'UTC',
        'call_start', '2024-08-02', 'v')
ON CONFLICT (system, table_name, ceiling) DO UPDATE SET confirmed_by = '{{}}'
"""
_CONFLICT = f"""
INSERT INTO register.conflict (conflict_id, identity, system, valid_from, kind, request_id, noticed_at)
VALUES ('{UUID(int=2)}', 'x', 'billing', now(), 'another_holder', '{UUID(int=2)}', now())
"""


async def letter(intake: Intake, way: str = "email", state: str = "needs_attention") -> str:
    subject = {"name": "Ada Quarzfels", "email": f"{uuid7()}@example.org", "country": "DE"}  # one a day is acknowledged
    path = await asked_by_mail(intake, **{**PROVED, "subject": subject})
    query = "UPDATE delivery SET way = $2, state = $3 WHERE request_id = $1 RETURNING letter_id"
    return f"/v1/letters/{await intake.unit_of_work.pool.fetchval(query, UUID(id_of(path)), way, state)}"


async def received(intake: Intake) -> str:
    await take(intake, mail(name=str(uuid7())))
    newest = "SELECT mail_id FROM mail WHERE state = 'proposed' ORDER BY read_at DESC, mail_id DESC LIMIT 1"
    return f"/v1/mail/{await intake.unit_of_work.pool.fetchval(newest)}"


async def digest(intake: Intake) -> str:
    path, digest_id = await begun(intake), uuid7()
    pool = intake.unit_of_work.pool
    await pool.execute(_CONCERNED, UUID(id_of(path)))
    written = "INSERT INTO recipient_digest (digest_id, recipient, written_on, written_at, notified_at)"
    await pool.execute(f"{written} VALUES ($1, 'carrier', current_date, now(), now())", digest_id)
    notified = "UPDATE recipient_notice SET state = 'notified', digest_id = $2 WHERE request_id = $1"
    await pool.execute(notified, UUID(id_of(path)), digest_id)
    return f"/v1/recipient-digests/{digest_id}"


STOPPED: dict[str, tuple[Prepare, Body]] = {
    "letters mark-posted": (lambda intake: letter(intake, "post", "waiting"), None),
    "letters deliver": (letter, {"way": "email"}),
    "letters give-up": (letter, {"explanation": "It came back twice."}),
    "mail confirm": (received, {"rights": ["access"], "subject": {"email": "ada@mail.example", "country": "DE"}}),
    "mail dismiss": (received, {"reason": "advertising"}),
    "recipient-digests record-reply": (digest, {"reply": "done"}),
    "holds review": (held, {"finding": "needed", "review_on": "2026-07-31"}),
    "holds lift": (held, None),
    "systems quarantine": (lambda intake: kept(intake, "/v1/systems/a", _ON), None),
    "systems enable": (lambda intake: kept(intake, "/v1/systems/b", _QUARANTINED), None),
    "suspended-keys release": (lambda intake: kept(intake, "/v1/suspended-keys/0123456789ab", _SUSPENDED), None),
    "sweeps let-go": (lambda intake: kept(intake, f"/v1/sweeps/{UUID(int=1)}", _SWEEP), None),
    "assignment-conflicts settle": (
        lambda intake: kept(intake, f"/v1/assignment-conflicts/{UUID(int=2)}", _CONFLICT),
        None,
    ),
}
"""Actions on other objects than requests."""
OWN_TESTS = {"requests", "incidents"}
BY_TWO = {"holds lift", "systems enable", "sweeps let-go"}


@pytest.fixture
async def third(intake: Intake, database: str) -> httpx.AsyncClient:
    """A third officer, whose key is not that of the second."""
    return await intake.another(database, "officer-3")


def status_and_problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


async def approving(by: httpx.AsyncClient, proposed: httpx.Response, word: str = "approve") -> httpx.Response:
    return await by.post(f"/v1/approvals/{proposed.json()['approval_id']}/{word}")


async def listed(intake: Intake, proposed: httpx.Response) -> bool:
    """Whether a proposal is among those that wait."""
    waiting = (await intake.officer.get("/v1/approvals")).json()["data"]
    return proposed.json()["approval_id"] in [each["approval_id"] for each in waiting]


async def test_every_action_is_offered_described_and_taken_once(
    intake: Intake, database: str, subtests: pytest.Subtests
) -> None:
    """Refused without, for a stale or by the wrong key; done by one of two who race; a repeat does nothing."""
    assert {*ONE, *TWO} == {each.name for each in ACTIONS if each.offered}
    other = await intake.another(database, "other-channel", role="channel")
    for action, (prepare, body) in {**ONE, **TWO}.items():
        with subtests.test(action):
            path = await prepare(intake)
            address = f"{path}/actions/{action}"
            [offered] = [
                each for each in (await intake.officer.get(f"{path}/actions")).json()["data"] if each["name"] == action
            ]
            assert offered["effects"]
            jsonschema.validate(body or {}, offered["body_schema"])
            stale = await version_of(intake, path)
            await changed(intake, path, "UPDATE request SET version = version + 1 WHERE request_id = $1")
            before = await done(intake, path)
            assert (await other.post(address, json=body)).status_code in {403, 404}
            whichever = await intake.officer.post(address, json=body, headers={"If-Match": "*"})
            late = await intake.officer.post(address, json=body, headers=stale)
            assert status_and_problem(whichever) == (428, "precondition_required")
            assert (status_and_problem(late), "ETag" in late.headers) == ((412, "precondition_failed"), False)
            rehearsed = await intake.officer.post(f"{address}?dry_run=true", json=body)
            assert (rehearsed.status_code, "ETag" in rehearsed.headers) == (202 if action in TWO else 200, False)
            assert await done(intake, path) == before

            version = await version_of(intake, path)
            both = await asyncio.gather(
                *(each.post(address, json=body, headers=version) for each in (intake.officer, intake.colleague))
            )
            first, second = sorted(both, key=lambda each: each.status_code)
            assert (first.status_code, status_and_problem(second)) == (
                rehearsed.status_code,
                (412, "precondition_failed"),
            ), first.text
            after = await done(intake, path)
            who = intake.officer if first is both[0] else intake.colleague
            again = await who.post(address, json=body, headers=version)
            assert status_and_problem(again) == (412, "precondition_failed")
            assert first.headers["ETag"] == after[0] != version["If-Match"]
            assert await done(intake, path) == after


async def test_another_person_approves_once_what_has_not_changed(
    intake: Intake, database: str, third: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    """Never the same person, by whichever key; of two who race one; nothing once what it was for has changed."""
    same = await intake.another(database, "officer-1")
    for action, (prepare, body) in TWO.items():
        with subtests.test(action):
            path = await prepare(intake)
            address = f"{path}/actions/{action}"
            proposed = await intake.officer.post(address, json=body)
            assert (proposed.status_code, await listed(intake, proposed)) == (202, True), proposed.text
            for by in (intake.officer, same):
                for refused in (await by.post(address, json=body), await approving(by, proposed)):
                    assert status_and_problem(refused) == (409, "same_person")
            assert (await approving(intake.channel, proposed)).status_code == 403
            read = await intake.colleague.get(f"/v1/approvals/{proposed.json()['approval_id']}")
            assert (body or {}).items() <= read.json()["body"].items()
            before = await done(intake, path)
            assert (await approving(intake.colleague, proposed, "approve?dry_run=true")).status_code == 200
            assert await done(intake, path) == before
            both = await asyncio.gather(*(approving(each, proposed) for each in (intake.colleague, third)))
            won, lost = sorted(both, key=lambda each: each.status_code)
            assert (won.status_code, status_and_problem(lost)) == (200, (409, "not_ready")), won.text
            by = intake.colleague if won is both[0] else third
            assert (await approving(by, proposed)).status_code == 200, "a repeat gets the same answer"
            assert not await listed(intake, proposed)

            path = await prepare(intake)
            proposed = await intake.officer.post(f"{path}/actions/{action}", json=body)
            await changed(intake, path, "UPDATE approval SET about = 'something else' WHERE request_id = $1")
            assert not await listed(intake, proposed)
            assert status_and_problem(await approving(third, proposed)) == (412, "precondition_failed")
            again = await intake.colleague.post(f"{path}/actions/{action}", json=body)
            assert again.status_code == 202, "it is proposed again"
            assert (await approving(intake.officer, again, "reject")).status_code == 200
            assert status_and_problem(await approving(third, again)) == (409, "not_ready")


async def test_actions_about_other_things_are_taken_once_and_approved_by_another_person(
    intake: Intake, database: str, third: httpx.AsyncClient, subtests: pytest.Subtests
) -> None:
    named = {
        f"{kind.name} {action}" for kind in KINDS.values() for action in kind.actions if kind.name not in OWN_TESTS
    }
    assert STOPPED.keys() == named
    same = await intake.another(database, "officer-1")
    for action, (prepare, body) in STOPPED.items():
        with subtests.test(action):
            path = await prepare(intake)
            address = f"{path}/actions/{action.partition(' ')[2]}"
            assert (await intake.channel.get(f"{path}/actions")).status_code == 403
            assert (await intake.channel.post(address, json=body, headers={"If-Match": '"1"'})).status_code == 403
            read = await intake.officer.get(f"{path}/actions")
            [offered] = [each for each in read.json()["data"] if address.endswith(each["name"])]
            assert (bool(offered["effects"]), bool(offered["approval"])) == (True, action in BY_TWO)
            late = await intake.officer.post(address, json=body, headers={"If-Match": f'"{"0" * 32}"'})
            assert status_and_problem(late) == (412, "precondition_failed")
            version = {"If-Match": read.headers["ETag"]}
            rehearsed = await intake.officer.post(f"{address}?dry_run=true", json=body, headers=version)
            assert rehearsed.status_code == (202 if action in BY_TWO else 200), rehearsed.text
            assert (await intake.officer.get(f"{path}/actions")).headers["ETag"] == read.headers["ETag"]
            if action not in BY_TWO:
                both = await asyncio.gather(
                    *(each.post(address, json=body, headers=version) for each in (intake.officer, intake.colleague))
                )
                assert min(each.status_code for each in both) == 200, both[0].text
                assert max(each.status_code for each in both) in {404, 409, 412}
                continue
            proposed = await intake.officer.post(address, json=body)
            for by in (intake.officer, same):
                for refused in (await by.post(address, json=body), await approving(by, proposed)):
                    assert status_and_problem(refused) == (409, "same_person")
            await intake.unit_of_work.pool.execute("UPDATE approval SET about = 'something else'")
            assert status_and_problem(await approving(third, proposed)) == (412, "precondition_failed")
            again = await intake.officer.post(address, json=body)
            both = await asyncio.gather(*(approving(each, again) for each in (intake.colleague, third)))
            won, lost = sorted(both, key=lambda each: each.status_code)
            assert (won.status_code, lost.status_code) == (200, 409), won.text
            assert not await listed(intake, again)


def test_what_resolves_a_blocker_is_an_action() -> None:
    assert {name for rule in RULES.values() for name in rule.actions} <= {each.name for each in ACTIONS}


def test_each_action_has_its_words_and_no_word_is_left_over() -> None:
    created = {"requests/create", *(f"{kind}/create" for kind, each in RESOURCES.items() if each.creation)}
    assert TEXTS.keys() == created | {f"{kind.name}/{name}" for kind in KINDS.values() for name in kind.actions}


async def version_of(intake: Intake, path: str) -> dict[str, str]:
    return {"If-Match": (await intake.channel.get(path)).headers["ETag"]}


async def done(intake: Intake, path: str) -> list[object]:
    """Returns everything that a decision can change."""
    sealed = await intake.unit_of_work.pool.fetchval("SELECT count(*) FROM vault.sealed")
    shown = await intake.officer.get(path)
    letters = await intake.letters(path)  # which is on record, and none of it
    evidence = [entry for entry in await intake.evidence(path) if entry["action"] != "letters.read"]
    return [shown.headers["ETag"], shown.json(), await intake.published(), evidence, letters, sealed]


async def test_foreign_version_is_refused(intake: Intake, subtests: pytest.Subtests) -> None:
    path = await intake.submit()
    for tag in ("", "1", 'W/"1"', '"1", "2"', '"01"', '"0"', '"x"', f'"{10**18}"'):
        refused = await intake.channel.post(f"{path}/actions/withdraw", headers={"If-Match": tag})
        with subtests.test(tag):
            assert status_and_problem(refused) == (400, "bad_request")
    unknown = await intake.channel.post(f"{path}/actions/nosuch")
    assert status_and_problem(unknown) == (404, "not_found")
    assert "withdraw" in unknown.json()["detail"]


async def test_second_decision_on_the_same_version_is_refused(intake: Intake) -> None:
    path = await blocked(intake)
    version = await version_of(intake, path)
    (await intake.officer.post(f"{path}/actions/retry", headers=version)).raise_for_status()
    after = await done(intake, path)
    others = [
        await intake.officer.post(f"{path}/actions/answer-in-part", json=REASONS["answer_in_part"], headers=version),
        await intake.officer.post(f"{path}/actions/withdraw", headers=version),
        await intake.colleague.post(f"{path}/actions/retry", headers=version),
    ]
    assert {status_and_problem(other) for other in others} == {(412, "precondition_failed")}
    assert await done(intake, path) == after


async def test_concurrent_lifts_are_done_once(intake: Intake, database: str, clock: SetClock, keys: Keyring) -> None:
    path = await restricted(intake)
    headers = {**intake.officer.headers, **await version_of(intake, path)}
    async with running(database, clock, keys) as other:
        answers = await asyncio.gather(
            *(each.officer.post(f"{path}/actions/lift", headers=headers) for each in (intake, other))
        )
    async with running(database, clock, keys) as restarted:
        answers.append(await restarted.officer.post(f"{path}/actions/lift", headers=headers))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
    assert (await intake.types()).count("lift_decided") == 1
    assert (await intake.actions(path)).count("restriction.lift_decided") == 1
