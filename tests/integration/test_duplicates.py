"""A request that repeats an open one of the same person is linked to it and answered with it."""

from uuid import UUID

import pytest

from shared.domain import reference as references
from tests.fixtures.engine import SetClock
from tests.fixtures.intake import PROOF, Intake, id_of

MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def test_a_repeat_of_an_open_request_ends_with_the_first_and_after_the_answer_the_next_one_is_new(
    intake: Intake, clock: SetClock
) -> None:
    first = await intake.submit(subject=MIA)
    clock.pass_by(days=3)
    again = await intake.submit(subject=MIA)
    shown = await intake.view(again)
    letter = (await intake.letters(again))[-1]
    (linked,) = await intake.details(again, "request.linked_duplicate")
    assert (shown["state"], shown["outcome"], shown["duplicate_of"]) == ("closed", "duplicate", id_of(first))
    assert shown["received_at"] == linked["received_at"] == "2026-03-05T09:00:00+00:00"  # its own
    assert letter["kind"] == "duplicate"
    for words in ("5 March 2026", "your request of 2 March 2026", references.of(UUID(id_of(first))), "by 1 April 2026"):
        assert words in letter["body"]
    types = [event["type"].split(".")[2] for event in await intake.published() if event["request_id"] == id_of(again)]
    assert types == ["received", "closed"]

    await intake.complete(first)
    new = await intake.submit(subject=MIA)
    assert (await intake.view(new))["state"] == "in_progress"
    late = await intake.submit(subject=MIA, received_at="2026-02-09T09:00:00Z")
    found = await intake.view(late)
    assert (found["outcome"], found["received_at"]) == (None, "2026-02-09T09:00:00+00:00"), "it keeps its own date"
    third = await intake.view(await intake.submit(subject=MIA))
    assert (third["outcome"], third["duplicate_of"]) == ("duplicate", id_of(late)), "the earlier receipt governs"


async def test_an_access_names_the_other_requests_of_the_same_person_and_nobody_elses(intake: Intake) -> None:
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


async def test_of_two_at_once_in_one_message_the_second_is_the_repeat(intake: Intake) -> None:
    asked = [{"right": "access", "subject": MIA, **PROOF}] * 3
    answer = (await intake.channel.post("/v1/requests/batch", json={"requests": asked})).json()["requests"]
    assert [each["state"] for each in answer] == ["in_progress", "closed", "closed"]
    for each in answer[1:]:
        assert (await intake.view(f"/v1/requests/{each['request_id']}"))["duplicate_of"] == answer[0]["request_id"]


@pytest.mark.parametrize(
    "other",
    [
        {"right": "portability"},
        {"right": "rectification", **CITY},
        {"subject": MIA | {"phones": [{"number": "+493023125001"}]}},
        {"subject": MIA | {"account_id": "C-8"}},
        {"role": "processor"},
    ],
)
async def test_what_asks_for_anything_else_is_another_request(intake: Intake, other: dict[str, object]) -> None:
    await intake.submit(subject=MIA)
    path = await intake.submit(**{"subject": MIA, **other})
    assert (await intake.view(path))["outcome"] is None


async def test_nobody_repeats_a_request_by_an_address_that_is_not_proved(intake: Intake) -> None:
    objection = {"right": "objection", "scope": "direct_marketing", "subject": MIA, "assurance": None}
    paths = [await intake.submit(**objection) for _ in range(2)]
    unproved = await intake.submit(subject=MIA, assurance=None)
    proved = await intake.submit(subject=MIA)
    assert [(await intake.view(path))["outcome"] for path in (*paths, unproved, proved)] == [None] * 4
    weak = {"level": "L0", "method": "account"}
    waits = [
        await intake.submit(subject={"account_id": "C-9"}, assurance=proof) for proof in (weak, PROOF["assurance"])
    ]
    assert [(await intake.view(path))["state"] for path in waits] == ["awaiting_identity", "in_progress"]
