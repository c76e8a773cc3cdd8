"""A question that could not be read before is shown to whoever has asked: it counts as asked from then on."""

from uuid import UUID

from services.intake.letters import asked
from services.intake.letters.rendering import Letters
from services.intake.repository import Requests
from shared.messaging.unit_of_work import UnitOfWorkFactory


async def note(unit_of_work: UnitOfWorkFactory, letters: Letters, request_id: UUID) -> None:
    """Notes that their page shows the open question of a request now; once, and nothing where it was told before."""
    async with unit_of_work.begin() as tx:
        requests = await Requests.locked(tx, letters, [request_id])
        request = requests.get(request_id)
        if request is None or request.question is None or not request.question.untold:
            return
        requests.tell(request.shown(tx.now))
        tx.log_evidence(request_id, "question.shown", {"question_id": str(request.question.question_id)})
        await asked.known(tx, request_id, request.question.question_id)
        await requests.save()
