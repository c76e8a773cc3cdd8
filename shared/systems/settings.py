"""Defines settings that several adapters share."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl

from shared.domain.errors import LimitExceeded
from shared.domain.operations import Exceeded, Limit
from shared.systems.contract import Task


def _http(text: str) -> str:
    try:
        HttpUrl(text)
    except ValueError:
        raise ValueError("write the URL of an HTTP server, as http://host:port") from None
    return text


Url = Annotated[str, AfterValidator(_http)]
"""The URL of an HTTP server, as written."""


class LimitedSettings(BaseModel):
    """Limits of one request; an adapter that can count people adds ``max_people``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_rows: int = Field(default=100_000, ge=1, le=1_000_000_000, description="rows that one request may touch")

    def excess(self, task: Task, *, rows: int = 0, people: int = 0) -> LimitExceeded | None:
        """Returns why the task exceeds a limit; None if it does not, or two people confirmed the excess.

        A stop of marketing applies to every person with the address (Art. 21(3)).
        """
        people = 0 if task.stops_marketing else people
        for limit, found in ((Limit.MAX_PEOPLE, people), (Limit.MAX_ROWS, rows)):
            allowed = max(getattr(self, limit, found), task.confirmed.get(limit, 0))
            if found > allowed:
                exceeded = Exceeded(limit=limit, found=found, allowed=allowed)
                return LimitExceeded(f"{found:,} are found, and {limit} = {allowed:,}; nothing was done", exceeded)
        return None


class AnswerLimits(BaseModel):
    """Limits of one HTTP answer; a larger one is neither read to its end nor believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    answer_bytes: int = Field(default=16 * 2**20, ge=1_024, le=2**30, description="bytes of one answer, unpacked")
    answer_seconds: float = Field(
        default=60, gt=0, le=3_600, description="how long one answer may take in all, to its last byte"
    )
    answer_items: int = Field(
        default=200_000, ge=10, le=10_000_000, description="opening brackets in one answer: its objects and lists"
    )
    answer_depth: int = Field(default=32, ge=4, le=200, description="objects and lists within one another")


class HttpSettings(LimitedSettings, AnswerLimits):
    """Settings of a system with an HTTP interface."""
