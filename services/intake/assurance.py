"""Whether we are sure enough of who is asking; the levels required are policy, not code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, model_validator

from services.intake.schemas import Assurance
from shared.domain.rights import Right
from shared.domain.toml_file import read_toml

POLICY = Path(__file__).parents[2] / "shared" / "policy" / "identity.toml"


class _IdentityPolicy(BaseModel):
    required_level: Mapping[Right, Literal["L0", "L1", "L2", "L3"]]

    @model_validator(mode="after")
    def _names_every_right(self) -> Self:
        if missing := set(Right) - self.required_level.keys():
            raise ValueError(f"required_level must give a level for {', '.join(sorted(missing))}")
        return self


def required_levels(path: Path = POLICY) -> Mapping[Right, str]:
    """The level that each right needs.

    Raises:
        Misconfigured: the file cannot be used, or leaves a right out.
    """
    return read_toml(path, _IdentityPolicy).required_level


def suffices(assurance: Assurance | None, right: Right, required: Mapping[Right, str]) -> bool:
    """Whether that much assurance is enough to begin; an identifier alone is level L0."""
    return (assurance.level if assurance else "L0") >= required[right]
