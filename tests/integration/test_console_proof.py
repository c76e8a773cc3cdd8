"""Proof that waits for a person is decided on the page of its request: what was disowned is lifted, or taken back."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from shared.domain.release import Match, Row
from tests.fixtures.console import OpenedConsole
from tests.fixtures.handed_out import seal_package
from tests.fixtures.intake import Intake
from tests.fixtures.portal import Opened, code_in, link_in, opened
from tests.integration.test_console_decisions import decided
from tests.integration.test_portal import EMAIL, EXPORTED, asked
from tests.integration.test_portal_disowned import waiting

LIFT = "Say that it was theirs after all"
WITHHELD = "SELECT package_fault FROM request WHERE request_id = $1"


@pytest.fixture
async def door(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    async with opened(intake, monkeypatch) as door:
        yield door


async def disowned_after_the_answer(door: Opened, *, packed: bool = False) -> str:
    """Returns the reference of a request that was proved by one link, answered, and disowned by another link."""
    ada = door.visitor()
    reference = await asked(ada)
    await (await ada.open("/portal/en/follow")).send(reference=reference)
    mine, theirs = await door.letters()
    await (await ada.open(link_in(mine))).send(answer="mine")
    package = None
    if packed:
        async with door.intake.unit_of_work.begin() as tx:
            subject = "SELECT subject_ref FROM request WHERE request_id = $1"
            of = await tx.connection.fetchval(subject, UUID(reference))
            package = await seal_package(tx, of, b"everything", Row("ticket", [Match("email", EMAIL)]))
    await door.intake.complete(f"/v1/requests/{reference}", tasks=(EXPORTED,), package_id=package)
    await (await door.visitor().open(link_in(theirs))).send(answer="not_me")
    assert await waiting(door) == [(reference, "disowned")]
    return reference


async def test_what_was_disowned_after_the_answer_is_lifted_by_one_person_on_its_page(
    door: Opened, console: OpenedConsole
) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    reference = await disowned_after_the_answer(door)
    page = f"/console/requests/{reference}"
    await hanna.open(page)
    assert "somebody says that they have asked for nothing" in hanna.text
    assert LIFT in hanna.text
    await hanna.open(f"{page}/decide/proof-lift")
    for said in ("are counted anew", "two persons must say so"):
        assert said in hanna.text, said
    await decided(hanna, reference, "proof-lift", note="Ada called from the number on file.")
    assert (hanna.path, await waiting(door)) == (page, [])
    assert LIFT not in (await hanna.open(page)).text
    timeline = (await intake.officer.get(f"/v1/requests/{reference}/timeline")).json()["entries"]
    [lifted] = [each["detail"] for each in timeline if each["action"] == "proof.lifted"]
    assert lifted["holder"] == "hanna"
    assert lifted["note"], "what they say is kept, and sealed"
    assert (await hanna.open(f"{page}/decide/proof-lift")).status == 404


async def test_what_was_disowned_after_the_answer_is_taken_back_by_two_who_find_it_among_the_approvals(
    door: Opened, console: OpenedConsole
) -> None:
    hanna, anton = await console.member("hanna"), await console.member("anton")
    reference = await disowned_after_the_answer(door)
    words = {"identity": "email", "note": "Ada called."}
    await decided(hanna, reference, "proof-withdrawal", **words)
    assert "Somebody else must agree" in hanna.text
    assert "nothing is done before somebody else says so" in hanna.text
    assert await waiting(door) == [(reference, "disowned")]
    await anton.open("/console/approvals")
    assert f"/console/requests/{reference}/decide/proof-withdrawal" in anton.html
    shown = await anton.open(f"/console/requests/{reference}/decide/proof-withdrawal")
    assert "hanna, of: email" in shown.text, "who says it too reads what was said"
    await decided(anton, reference, "proof-withdrawal", **words)
    assert "nothing is done before" not in anton.text
    assert await waiting(door) == []
    assert "hanna has proposed" not in (await anton.open(f"/console/requests/{reference}")).text
    assert reference not in (await anton.open("/console/approvals")).html


async def test_who_says_that_it_was_theirs_after_all_ends_the_doubt_of_another_and_frees_the_package(
    door: Opened, console: OpenedConsole
) -> None:
    intake, hanna, officer = console.intake, await console.member("hanna"), await console.member("officer-1")
    reference = await disowned_after_the_answer(door, packed=True)
    await decided(hanna, reference, "proof-withdrawal", identity="email", note="")
    assert await intake.unit_of_work.pool.fetchval(WITHHELD, UUID(reference)) == "not_proved"
    page = f"/console/requests/{reference}"
    await officer.open(f"{page}/decide/proof-lift")
    assert "hanna has said that a proof is to be taken back (email)" in officer.text
    await decided(officer, reference, "proof-lift", note="")
    assert await intake.unit_of_work.pool.fetchval(WITHHELD, UUID(reference)) is None
    assert "hanna has proposed" not in (await officer.open(page)).text
    assert reference not in (await officer.open("/console/approvals")).html


async def test_where_links_and_codes_have_ended_before_any_proof_they_are_good_again(
    door: Opened, console: OpenedConsole
) -> None:
    hanna, ada = await console.member("hanna"), door.visitor()
    reference = await asked(ada)
    await ada.open("/portal/en/code")
    for _ in range(5):
        await ada.send(code="0000 0000")
    assert await waiting(door) == [(reference, "wrong_codes")]
    assert "are counted anew" in (await hanna.open(f"/console/requests/{reference}/decide/proof-lift")).text
    await decided(hanna, reference, "proof-lift", note="")
    assert await waiting(door) == []
    again = door.visitor()
    await (await again.open("/portal/en/follow")).send(reference=reference)
    newest = (await door.letters())[-1]
    assert code_in(newest), "a code is told again"
    assert link_in(newest)


async def test_of_an_erasure_whose_key_is_gone_it_is_lifted_without_a_note(
    door: Opened, console: OpenedConsole
) -> None:
    intake, hanna = console.intake, await console.member("hanna")
    reference = await disowned_after_the_answer(door)
    async with intake.unit_of_work.begin() as tx:
        subject = "SELECT subject_ref FROM request WHERE request_id = $1"
        await tx.vault.shred(tx.connection, [await tx.connection.fetchval(subject, UUID(reference))], tx.now)
    await decided(hanna, reference, "proof-lift", note="Ada called.")
    assert "leave it out" in hanna.text
    assert await waiting(door) == [(reference, "disowned")]
    await decided(hanna, reference, "proof-lift", note="")
    assert await waiting(door) == []
