"""Nobody is said to be told nothing who was told (Art. 19)."""

from shared.domain.operations import Operation
from tests.fixtures.intake import Intake
from tests.fixtures.recipients import WHY, erased, listed, report


async def test_nobody_waives_a_notice_that_was_given_meanwhile(disclosing: Intake) -> None:
    path = await erased(disclosing, report(Operation.ERASE, call=1))
    waiver = {"recipient": "carrier", "cause": "disproportionate", "explanation": WHY}
    (await disclosing.officer.post(f"{path}/recipients/waiver", json=waiver)).raise_for_status()
    await disclosing.officer.post(f"{path}/recipients/told", json={"recipient": "carrier"})
    approved = await disclosing.colleague.post(f"{path}/recipients/waiver/approval", json={"recipient": "carrier"})
    again = await disclosing.officer.post(f"{path}/recipients/waiver", json=waiver)
    assert [(each.status_code, "carrier was told" in each.text) for each in (approved, again)] == [(409, True)] * 2
    read = await disclosing.colleague.get(f"{path}/recipients/waiver", params={"recipient": "carrier"})
    assert (read.status_code, (await listed(disclosing, path))["carrier"]["state"]) == (409, "told"), "it fell"
