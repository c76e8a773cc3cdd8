"""Scenario 3: who is signed in with a second factor and asks for their call records is asked nothing."""

from tests.fixtures.intake import Intake


async def test_who_is_signed_in_with_a_second_factor_is_not_asked_who_they_are(intake: Intake) -> None:
    path = await intake.submit(assurance={"level": "L2", "method": "signed_in_mfa"})
    assert (await intake.view(path))["state"] == "in_progress"
    assert not [letter for letter in await intake.letters(path) if "identity" in letter["kind"]]
    assert await intake.types() == ["received", "verified"]
