"""Other requests of the same person: named with an access, and shown where they ask for the same."""

from tests.fixtures.engine import SetClock
from tests.fixtures.intake import Intake, id_of

MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def repeated(intake: Intake, path: str) -> list[str]:
    view = (await intake.officer.get(path)).raise_for_status().json()
    return [each["request_id"] for each in view.get("repeated", [])]


async def test_a_repeat_is_worked_as_any_other_and_shown_to_people_while_both_are_open(
    intake: Intake, clock: SetClock
) -> None:
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
