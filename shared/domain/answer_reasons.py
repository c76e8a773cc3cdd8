"""What the policy says of why a request may be refused, answered in part, or a part of it ended; pure."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.domain.rights import Right

Code = Annotated[str, StringConstraints(pattern="^[A-Z_]{1,64}$")]
Article = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]?(\([0-9a-z]{1,2}\)){0,2}$")]


class Reason(BaseModel):
    """A reason, by which articles it holds, and for which rights; its words are ``reason.…`` of the letters.

    ``owed``: what is missing is still to be done.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    articles: Annotated[tuple[Article, ...], Field(min_length=1)]
    rights: frozenset[Right] = frozenset(Right)
    owed: bool = False


class AnswerReasons(BaseModel):
    """Every reason, by what it is a reason for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refuse: Mapping[Code, Reason]
    answer_in_part: Mapping[Code, Reason]
    end_part: Mapping[Code, Reason]
