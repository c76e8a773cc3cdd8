"""Whether we are sure enough of who is asking; the levels required and the methods known are policy, not code."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.intake.errors import BadRequest
from services.intake.schemas import Assurance, DataSubject
from shared.domain.identities import IdentityType
from shared.domain.rights import Right
from shared.domain.text import folded, mixed_scripts
from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[2] / "shared" / "policy" / "identity.toml"


class BrakePolicy(BaseModel):
    """How many erasures one key may ask for in an hour before two persons must look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasures_per_hour: Annotated[int, Field(ge=1, le=1_000_000)]


Words = Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], Field(min_length=1)]


class NeverAskedFor(BaseModel):
    """The documents that nobody is asked for: by their names, or where one of ``copies`` stands beside one of ``ids``.

    Source: EDPB Guidelines 01/2022 §§73-79.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    documents: Words
    copies: Words
    ids: Words


class IdentityPolicy(BaseModel):
    """The level that each right needs, and the methods by which anybody may come to one.

    ``same_person``: by method, the types of identity by which two requests are told to come from the same person.
    """

    model_config = ConfigDict(frozen=True)

    brake: BrakePolicy
    required_level: Mapping[Right, Literal["L0", "L1", "L2", "L3"]]
    methods: Annotated[frozenset[Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]], Field(min_length=1)]
    never_asked_for: NeverAskedFor
    same_person: Mapping[str, frozenset[Literal[IdentityType.ACCOUNT_ID, IdentityType.EMAIL]]]

    @model_validator(mode="after")
    def _names_known_methods(self) -> Self:
        if unknown := self.same_person.keys() - self.methods:
            raise ValueError(f"same_person names no known method: {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _names_every_right(self) -> Self:
        if missing := set(Right) - self.required_level.keys():
            raise ValueError(f"required_level must give a level for {', '.join(sorted(missing))}")
        return self

    def must_not_ask_for_a_document(self, said: str, field: str = "text") -> None:
        """Raises ``BadRequest`` for words to a requester that ask for a document which the policy lets nobody ask for.

        They are compared as one reads them, whatever characters they are written in.
        """
        if mixed_scripts(said):
            raise BadRequest("a word has letters of two scripts, which look alike: write it in one", field)
        if (found := self.document_asked_for(said)) is not None:
            raise BadRequest(
                f"ask for no identity document and no copy of one ({found}): ask for something that only the subject"
                " can know or reach, as a code that is sent to their address of record",
                field,
            )

    def document_asked_for(self, said: str) -> str | None:
        """The word of the policy by which these words ask for a document; None if they do not."""
        words, never = folded(said), self.never_asked_for
        found = _first_of(never.documents, words)
        return found or (_first_of(never.ids, words) if _first_of(never.copies, words) else None)

    def must_know(self, method: str, field: str) -> None:
        """Raises ``BadRequest`` for a method that nobody has named: what stays in the evidence is no free text."""
        if method not in self.methods:
            raise BadRequest(f"the method is one of {', '.join(sorted(self.methods))}", field)

    def numbers_proved_by(self, subject: DataSubject) -> list[str]:
        """The methods by which the channel knows of some numbers that they are the subject's; raises ``BadRequest``."""
        proved = [(place, phone.proved.method) for place, phone in enumerate(subject.phones) if phone.proved]
        for place, method in proved:
            self.must_know(method, f"subject.phones.{place}.proved.method")
        return [method for _, method in proved]

    def suffices(self, assurance: Assurance | None, right: Right) -> bool:
        """Whether that much assurance is enough to begin; an identifier alone is level L0.

        Raises:
            BadRequest: nobody has said that there is such a method.
        """
        if assurance is None:
            return self.required_level[right] == "L0"
        self.must_know(assurance.method, "assurance.method")
        return assurance.level >= self.required_level[right]


def _first_of(wanted: Words, words: str) -> str | None:
    """The first of them that stands in a folded text as whole words."""
    return next((each for each in wanted if re.search(rf"\b{re.escape(folded(each))}\b", words)), None)


def identity_policy(path: Path = POLICY) -> IdentityPolicy:
    """The policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, IdentityPolicy)
