"""Builds and publishes the public status of a request (topic ``dsr.status``), in full at every change."""

from uuid import UUID

from uuid_utils.compat import uuid7

from services.intake.request.stored_request import StoredRequest, for_requester
from shared.domain import topics
from shared.domain.events import RequestStatus
from shared.domain.topics import Message
from shared.messaging.unit_of_work import UnitOfWork

_TYPE = str(RequestStatus.model_fields["type"].default)


def status_of(request: StoredRequest) -> RequestStatus:
    """Returns the status of a request; of an anonymous one, as its requester sees it."""
    request = for_requester(request)
    return RequestStatus(
        request_id=request.request_id,
        right=request.right,
        state=request.state,
        received_at=request.received_at,
        due_on=request.due_on,
        outcome=request.outcome,
        closed_at=request.closed_at,
    )


def publish(tx: UnitOfWork, status: RequestStatus) -> None:
    """Publishes the status once the transaction has committed."""
    headers = _headers(tx) | {"ce_right": status.right, "content-type": "application/json"}
    tx.send(Message(topics.STATUS, str(status.request_id).encode(), status.model_dump_json().encode(), headers))


def publish_tombstone(tx: UnitOfWork, request_id: UUID) -> None:
    """Publishes a tombstone when the record of a request has expired."""
    tx.send(Message(topics.STATUS, str(request_id).encode(), b"", _headers(tx)))


def _headers(tx: UnitOfWork) -> dict[str, str]:
    event_id, source, time = str(uuid7()), f"/dsr/{tx.service}", tx.now.isoformat()
    return {"ce_type": _TYPE, "ce_specversion": "1.0", "ce_id": event_id, "ce_source": source, "ce_time": time}
