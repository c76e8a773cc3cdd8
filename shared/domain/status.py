"""Where a request stands, as other services read it: the whole state in each record, and nothing of who it is about."""

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from shared.domain.rights import Outcome, Right
from shared.domain.text import Word


class RequestStatus(BaseModel):
    """Where a request stands now.

    Each record holds the whole of it, so the latest of a key replaces all before it. A record without a value
    (tombstone) says that the records of the request have expired.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["dsr.request.status.v1"] = "dsr.request.status.v1"
    request_id: UUID = Field(description="of a request that an event asked for: the subject token of that event")
    right: Right
    state: Word = Field(description="as `GET /v1/requests/{request_id}` shows it")
    received_at: AwareDatetime = Field(description="the receipt, from which the time limit is counted")
    due_on: date = Field(description="by when it must be answered")
    outcome: Outcome | None
    closed_at: AwareDatetime | None
