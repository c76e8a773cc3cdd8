"""Somebody who asks for several things, of which one waits for another: what the tests of scenario 2 share."""

from services.intake.letters.rendering import Letters
from services.intake.postponed import begin_what_may
from tests.fixtures.intake import PROOF, Intake, id_of

MIA: dict[str, object] = {"email": "mia@example.org", "account_id": "C-7", "country": "DE"}
CITY = {"changes": [{"field": "address.city", "asserted": "Potsdam"}]}


async def batch(intake: Intake, *rights: str, **said: object) -> list[str]:
    """One message that asks for several rights."""
    asked = [{"right": right, "language": "en", "subject": MIA, **PROOF, **said} for right in rights]
    answer = (await intake.channel.post("/v1/requests/batch", json={"requests": asked})).raise_for_status()
    return [f"/v1/requests/{each['request_id']}" for each in answer.json()["requests"]]


async def begun(intake: Intake, *paths: str) -> list[bool]:
    """Of which of these requests work may begin."""
    events = await intake.published()
    verified = {event["request_id"] for event in events if event["type"] == "dsr.request.verified.v1"}
    return [id_of(path) in verified for path in paths]


async def look(intake: Intake) -> None:
    await begin_what_may(intake.unit_of_work, Letters())
