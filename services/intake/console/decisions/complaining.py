"""What somebody complains of about how a request was handled, as it is entered on its page."""

from collections.abc import Sequence

from services.intake.console.decisions.decision import Asked, Decision, Subject, saying
from services.intake.console.roles import Power
from services.intake.reviews import complaints
from services.intake.reviews.schemas import Complained, ComplaintLodged


async def _lodge(subject: Subject, _: int, said: Complained) -> str:
    lodged = ComplaintLodged(request_id=subject.of_request.request_id, **said.model_dump())
    async with subject.works.services.unit_of_work.begin() as tx:
        await complaints.lodge(tx, lodged, subject.person.caller)
    return "/complaints"


DECISIONS: Sequence[Decision] = (
    Decision(
        name="complaint",
        title="Enter that they complain",
        power=Power.HANDLE,
        when=lambda _: True,
        does=saying("It is counted as open, until it is entered what became of it."),
        body=Complained,
        asks=(
            Asked(
                "lodged_with",
                "With whom",
                "choose",
                options=lambda _: [
                    ("controller", "with us (Art. 12(2))"),
                    ("authority", "with a supervisory authority (Art. 77)"),
                    ("court", "with a court (Art. 79)"),
                ],
            ),
            Asked("received_on", "When we heard of it", "day"),
            Asked("note", "By which reference, and what about", "area", "Kept sealed. May be left out"),
        ),
        do=_lodge,
    ),
)
