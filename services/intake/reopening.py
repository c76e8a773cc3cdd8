"""Reopening: an answer that comes after the last notice resumes the request, with the time that was left (REQ-T9)."""

from dataclasses import replace
from datetime import datetime

from services.intake import correspondence
from services.intake.letters import Letters
from services.intake.register import Filed
from shared.domain.errors import IllegalTransition
from shared.domain.events import RequestReopened, RequestVerified
from shared.domain.suspension import resumed_due
from shared.domain.time_limit_policy import TimeLimitPolicy
from shared.messaging.unit_of_work import UnitOfWork
from shared.runtime.metrics import REQUESTS


class Reopening:
    """Reopens a request that was closed for want of an answer, and tells the subject by when it is due now."""

    def __init__(self, policy: TimeLimitPolicy, letters: Letters) -> None:
        self._policy = policy
        self._letters = letters

    async def resume(self, tx: UnitOfWork, filed: Filed, answered_at: datetime, actor: str) -> Filed:
        """The request in progress again; raises ``IllegalTransition`` unless it may be resumed."""
        question, before = filed.question, filed.request
        if question is None:
            raise IllegalTransition(f"a request that is {before.state} without an open question cannot be resumed")
        due_on = resumed_due(question.asked_at, answered_at, filed.zones, before.due_on, self._policy)
        request = before.reopened(due_on)
        await correspondence.write(
            tx,
            self._letters,
            filed,
            "reopened",
            {"answered_on": f"{answered_at:%d %B %Y}", "new_due": f"{due_on:%d %B %Y}"},
        )
        detail = {"due_on": due_on.isoformat(), "received_at": answered_at.isoformat()}
        tx.log_evidence(request.request_id, "request.reopened", detail, actor)
        tx.publish(
            RequestReopened(
                request_id=request.request_id,
                occurred_at=tx.now,
                right=request.right,
                subject=request.subject_ref,
                question_id=question.question_id,
                answered_at=answered_at,
                due_on=due_on,
            )
        )
        tx.publish(RequestVerified.about(request))
        REQUESTS.labels(request.right, "reopened").inc()
        return replace(filed, request=request, question=None, finished=None, warning=None, resumed=True)
