"""Whether we are sure enough of who is asking; the levels required and the methods known are policy, not code."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.intake.errors import BadRequest
from services.intake.schemas import Assurance, DataSubject
from shared.domain.identities import IdentityType
from shared.domain.rights import Right
from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[2] / "shared" / "policy" / "identity.toml"


class BrakePolicy(BaseModel):
    """How many erasures one key may ask for in an hour before two persons must look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasures_per_hour: Annotated[int, Field(ge=1, le=1_000_000)]


class IdentityPolicy(BaseModel):
    """The level that each right needs, and the methods by which anybody may come to one.

    ``same_person``: by method, the types of identity by which two requests are told to come from the same person.
    """

    model_config = ConfigDict(frozen=True)

    brake: BrakePolicy
    required_level: Mapping[Right, Literal["L0", "L1", "L2", "L3"]]
    methods: Annotated[frozenset[Annotated[str, StringConstraints(pattern="^[a-z0-9_]{1,64}$")]], Field(min_length=1)]
    never_asked_for: Annotated[frozenset[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]
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

    def must_not_ask_for_a_document(self, question: str) -> None:
        """Raises ``BadRequest`` for a question in which a document stands that the policy lets nobody ask for."""
        said = unicodedata.normalize("NFC", question).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").casefold()
        found = sorted(w for w in self.never_asked_for if re.search(rf"\b{re.escape(w.casefold())}\b", said))
        if found:
            raise BadRequest(
                f"ask for no identity document and no copy of one ({found[0]}): ask for something that only the subject"
                " can know or reach, as a code that is sent to their address of record",
                "text",
            )

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


def identity_policy(path: Path = POLICY) -> IdentityPolicy:
    """The policy in that file; raises ``Misconfigured`` if it cannot be used."""
    return read_toml(path, IdentityPolicy)
