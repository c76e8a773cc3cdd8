"""All that the policy says of identity: who must prove what, by which links, and what nobody is asked for; pure."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.proofs import ProofPolicy


class KeySuspensionPolicy(BaseModel):
    """How many erasures one API key may ask for in an hour before it is suspended."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasures_per_hour: Annotated[int, Field(ge=1, le=1_000_000)]


class LinkPolicy(BaseModel):
    """What shows that somebody controls a contact: a link, and a code to type instead (REQ-S5).

    ``method``: of the policy's methods the one by which they then have proved it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str
    hours: Annotated[int, Field(ge=1, le=720)]
    code_minutes: Annotated[int, Field(ge=1, le=60)]
    failures: Annotated[int, Field(ge=1, le=20)]
    per_hour: Annotated[int, Field(ge=1, le=100)]
    per_mailbox: Annotated[int, Field(ge=1, le=1000)]


class IdentityPolicy(ProofPolicy):
    """The level that each category and action need, the methods by which anybody may come to one, and limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key_suspension: KeySuspensionPolicy
    links: LinkPolicy
