"""A request as it is submitted, alone or with others."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from services.intake.core.schemas import PROOFS_OF, Assurance, Inconsistent, Proofs, Strict
from services.intake.core.subject_schemas import DataSubject
from shared.domain.clock import Moment
from shared.domain.identities import LONGEST_NAME, IdentityType, MalformedIdentity, normalise
from shared.domain.languages import Language
from shared.domain.operations import Change
from shared.domain.rights import Right, Role
from shared.domain.text import ONE_LINE, Word
from shared.domain.user_events import Reference

Ground = Literal["accuracy_contested", "unlawful", "needed_for_claims", "objection_pending"]
Scope = Literal["direct_marketing", "legitimate_interests"]


def _writable(change: Change) -> Change:
    """Checks what will stand in the systems: what is an identity too is brought to its one spelling, as theirs is."""
    if change.record:
        return change
    if change.field in {*IdentityType}:
        try:
            asserted = normalise(IdentityType(change.field), change.asserted)
        except MalformedIdentity as error:
            raise Inconsistent("asserted", str(error)) from None
        return change.model_copy(update={"asserted": asserted})
    if len(change.asserted) > LONGEST_NAME or not re.fullmatch(ONE_LINE, change.asserted):
        raise Inconsistent("asserted", f"write one line of at most {LONGEST_NAME} characters")
    return change


def _go_together(changes: tuple[Change, ...]) -> tuple[Change, ...]:
    fields = [change.field for change in changes if change.record is None]
    if fields and len(fields) < len(changes):
        raise ValueError(
            "some changes name a record and some do not: ask for each kind by its own request, since they need other"
            " proof"
        )
    if len({*fields}) < len(fields):
        raise ValueError("changes names one field twice: ask for another value of it by a request of its own")
    return changes


Changes = Annotated[
    tuple[Annotated[Change, AfterValidator(_writable)], ...], Field(max_length=50), AfterValidator(_go_together)
]
"""The changes of a rectification: corrections, or statements next to records."""


class Submission(Strict):
    """One data subject request."""

    right: Right
    subject: DataSubject
    language: Language | None = Field(
        default=None,
        description="what the subject reads, and is written to in; if left out, that of `country` in the policy, or"
        " English. Of an instruction, what the customer reads.",
    )
    changes: Changes = Field(default=(), description="of a rectification, and only there: what is to be corrected")
    contested: bool = Field(
        default=False, description="of a rectification, and only there: restrict the data until it is corrected"
    )
    ground: Ground | None = Field(default=None, description="of a restriction, and only there: its ground (Art. 18(1))")
    scope: Scope | None = Field(default=None, description="of an objection, and only there: to what (Art. 21)")
    purposes: Annotated[tuple[Word, ...], Field(max_length=20)] = Field(
        default=(),
        examples=[["marketing"]],
        description="of a withdrawal of consent, and only there: to what, as the policy names purposes (Art. 7(3))",
    )
    consent_text: Reference | None = Field(
        default=None,
        description="of a withdrawal of consent, and only there: which version of the text they had consented to",
    )
    received_at: Moment | None = Field(default=None, description="when it reached the company; now, if left out")
    channel: Literal["api", "email", "post"] = Field(
        default="api",
        description="how they have asked, and are answered: by e-mail and post the privacy team enters it",
    )
    assurance: Assurance | None = Field(default=None, description="without this and `proofs` nothing is proved")
    proofs: Proofs = Field(default=(), description=PROOFS_OF)
    role: Role = Field(
        default="controller",
        description="what we are for the data; processor: our customer decides, and we only forward. A message"
        " about data of both kinds says `both`: it becomes two requests under one case number",
    )
    instruction_id: Reference | None = Field(
        default=None,
        description="of an instruction that comes with a customer's key, and only there: the customer's own reference,"
        " which says nothing of the person. We carry it out in that customer's data alone (Art. 28(3)(a)).",
    )

    @model_validator(mode="after")
    def _fits_the_right(self) -> Self:
        if (self.right is Right.RECTIFICATION) != bool(self.changes):
            raise Inconsistent("changes", "changes belong to a rectification, and a rectification needs at least one")
        if self.contested and self.right is not Right.RECTIFICATION:
            raise Inconsistent(
                "contested", "contested belongs to a rectification: to contest accuracy, say what is right"
            )
        if (self.right is Right.RESTRICTION) != (self.ground is not None):
            raise Inconsistent(
                "ground", f"a ground (Art. 18(1)) belongs to a restriction, which needs one: {_any_of(Ground)}"
            )
        if (self.right is Right.OBJECTION) != (self.scope is not None):
            raise Inconsistent("scope", f"a scope (Art. 21) belongs to an objection, which needs one: {_any_of(Scope)}")
        if self.instruction_id and self.role != "controller":
            raise Inconsistent(
                "role",
                "an instruction is carried out, not forwarded to the customer who gives it: no role",
            )
        if self.instruction_id and self.scope == "legitimate_interests":
            raise Inconsistent(
                "scope", "you weigh such an objection: instruct what follows from it, a restriction or an erasure"
            )
        if self.channel == "email" and self.subject.email is None:
            raise Inconsistent(
                "subject.email", "subject.email is needed where they have asked by e-mail: the answer goes there"
            )
        return self

    @model_validator(mode="after")
    def _says_to_what_consent_is_withdrawn(self) -> Self:
        if (self.right is Right.CONSENT_WITHDRAWAL) != bool(self.purposes):
            raise Inconsistent(
                "purposes", "purposes (Art. 7(3)) belong to a withdrawal of consent, which needs at least one"
            )
        if self.consent_text and not self.purposes:
            raise Inconsistent(
                "consent_text", "consent_text belongs to a withdrawal of consent: it is what they had consented to"
            )
        if len({*self.purposes}) < len(self.purposes):
            raise Inconsistent("purposes", "purposes names one of them twice: name each once")
        return self


def _any_of(words: object) -> str:
    return " or ".join(get_args(words))


def scope_of(submission: Submission) -> str | None:
    """Returns the ground of a restriction, or the processing that is objected to."""
    return "accuracy_contested" if submission.contested else submission.ground or submission.scope


class Batch(Strict):
    """Up to 1,000 requests, accepted together or not at all."""

    requests: Annotated[tuple[Submission, ...], Field(min_length=1, max_length=1000)]


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
    """Returns whether a body becomes several requests."""
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
