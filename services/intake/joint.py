"""One message with several rights: a request for each, of one day of receipt, under one case number.

Each right is decided by itself (Art. 12(3), (4)): what of one must wait delays no other.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.domain.rights import Right

_OF_ONE_RIGHT: Final[Mapping[str, str]] = {
    "changes": "rectification",
    "contested": "rectification",
    "ground": "restriction",
    "scope": "objection",
    "at_once": "erasure",
    "packages_waived": "erasure",
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
    """Several rights in one message: `rights` in the place of `right`, and every other field as in a submission.

    A field that belongs to one right alone, as `changes`, goes with that right.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    rights: Annotated[
        tuple[Right, ...],
        Field(min_length=2, max_length=len(Right)),
        BeforeValidator(_several),
        AfterValidator(_each_once),
    ]

    @model_validator(mode="after")
    def _gives_each_right_what_is_its_own(self) -> "JointSubmission":
        said = self.model_extra or {}
        if "right" in said:
            raise ValueError("give right or rights, and not both")
        for name in said.keys() & _OF_ONE_RIGHT.keys():
            if _OF_ONE_RIGHT[name] not in self.rights:
                raise ValueError(f"{name} belongs to {_OF_ONE_RIGHT[name]}, which is none of the rights")
        return self


def is_joint(body: object) -> bool:
    """Whether a body names several rights."""
    return isinstance(body, dict) and "rights" in body


def parts(body: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a message asks for, right by right, as a submission of each; raises ``ValidationError``."""
    message = JointSubmission.model_validate(body)
    said = message.model_extra or {}
    for right in message.rights:
        theirs = {name: value for name, value in said.items() if _OF_ONE_RIGHT.get(name, right) == right}
        yield "", {**theirs, "right": right}
