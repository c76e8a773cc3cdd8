"""One message with several rights or about data of two controllers: a request for each, under one case number.

Each request has the same day of receipt and is decided alone (Art. 12(3), (4)): what delays one delays no other.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.domain.rights import Right, Role

_OF_ONE_RIGHT: Final[Mapping[str, str]] = {
    "changes": "rectification",
    "contested": "rectification",
    "ground": "restriction",
    "scope": "objection",
    "purposes": "consent_withdrawal",
    "consent_text": "consent_withdrawal",
}
"""The fields of a submission that belong to one right alone; all others hold for each."""


def _several(rights: object) -> object:
    if isinstance(rights, list | tuple) and len(rights) == 1:
        raise ValueError("rights names one alone: write right, with that name, in its place")
    return rights


def _each_once(rights: tuple[Right, ...]) -> tuple[Right, ...]:
    once = [*dict.fromkeys(rights)]
    if len(once) == 1 < len(rights):
        raise ValueError(f"rights names {once[0]} twice, and no other: write right in its place, as {once[0]}")
    if len(once) < len(rights):
        raise ValueError("rights names one of them twice; name each once")
    return rights


class JointSubmission(BaseModel):
    """One message that becomes several requests; every other field is as in a submission.

    `rights` takes the place of `right` where the message names several; a field of one right, such as `changes`, goes
    with that right. `role` `both`: the data are partly ours and partly a customer's. Each right becomes a request that
    we answer and a request that we forward to the customer.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    right: Right | None = Field(default=None, description="with `role` `both`: the only right")
    rights: Annotated[
        tuple[Right, ...] | None,
        BeforeValidator(_several),
        AfterValidator(_each_once),
    ] = Field(default=None, min_length=2, max_length=len(Right))
    role: Role | Literal["both"] = "controller"

    @model_validator(mode="after")
    def _gives_each_right_what_is_its_own(self) -> "JointSubmission":
        if (self.right is None) == (self.rights is None):
            raise ValueError("give right or rights, and not both")
        for name in (self.model_extra or {}).keys() & _OF_ONE_RIGHT.keys():
            if self.rights and _OF_ONE_RIGHT[name] not in self.rights:
                raise ValueError(f"{name} belongs to {_OF_ONE_RIGHT[name]}, which is none of the rights")
        return self


def is_joint(body: object) -> bool:
    """Whether a body becomes several requests."""
    return isinstance(body, dict) and ("rights" in body or body.get("role") == "both")


def parts(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A submission for each right, ours before the customer's; raises ``ValidationError``."""
    message = JointSubmission.model_validate(body)
    said = message.model_extra or {}
    roles: tuple[Role, ...] = ("controller", "processor") if message.role == "both" else (message.role,)
    for role in roles:
        for right in message.rights or (message.right,):
            several = message.rights is not None
            theirs = {
                name: value for name, value in said.items() if not several or _OF_ONE_RIGHT.get(name, right) == right
            }
            yield "", {**theirs, "right": right, "role": role}
