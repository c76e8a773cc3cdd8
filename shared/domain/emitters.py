"""The file of emitters: which services tell of their users, and what each of them may say."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from shared.domain.errors import Fault, Misconfigured
from shared.domain.levels import Level
from shared.domain.rights import Right
from shared.domain.text import Word
from shared.domain.toml_file import read_toml
from shared.domain.user_events import KINDS, NUMBERS, REQUESTED, TYPES, Asked

EMITTERS = Path(__file__).parents[1] / "policy" / "emitters.toml"
"""The file that is read where no other is named."""
FILE_SOURCE = "file"
"""The source of the register that is filled from a file (``dsr assignments import``), and is no system."""
EMITTER_NAME = "^[a-z][a-z0-9-]{0,40}$"
Name = Annotated[str, StringConstraints(pattern=EMITTER_NAME)]


class Emitter(BaseModel):
    """What one emitting service may say; it is the holder of its API keys, with which it posts identities.

    What its key may not, it may not either.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...] = Field(min_length=1, description="the events that it sends")
    rights: frozenset[Right] = Field(default=frozenset(), description=f"what may be asked for by {REQUESTED}")
    level: Level = Field(default="L0", description="the highest level of assurance that it may state")
    tenant: str | None = Field(default=None, description="the customer for whose users alone it speaks")
    authoritative: Word | None = Field(
        default=None,
        description="it says whose a number is: the source of the register whose accounts it names, which is the system"
        ' with assigns = true, or "file"',
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for kind in self.types:
            if kind not in KINDS:
                raise ValueError(f"types names {kind!r}: {_instead(kind, KINDS)}")
        if (REQUESTED in self.types) != bool(self.rights):
            raise ValueError(f'rights belong to "{REQUESTED}": write which of them may be asked for, or leave both out')
        told = [kind for kind in self.types if kind in NUMBERS]
        if bool(told) != (self.authoritative is not None):
            raise ValueError(
                f"authoritative belongs to {', '.join(NUMBERS)}: name the source of the register, or leave both out"
            )
        if self.tenant and (ours := [kind for kind in self.types if not issubclass(KINDS[kind], Asked)]):
            raise ValueError(f"a tenant's emitter only asks for something: {ours[0]} is told of our own users alone")
        return self

    def may_say(self, kind: str) -> bool:
        """Whether it may send events of that ``ce_type``."""
        name, _, right = kind.rpartition(".")
        return right in self.rights if name == REQUESTED else kind in self.types and kind in TYPES


def read_emitters(path: Path = EMITTERS) -> Mapping[str, Emitter]:
    """The emitters by name.

    Raises:
        Misconfigured: the file cannot be used; names every key that is wrong, and what to write.
    """
    found = read_toml(path, dict[Name, Emitter])
    authorities = sorted(name for name, emitter in found.items() if emitter.authoritative)
    if len(authorities) > 1:
        said = f"{' and '.join(authorities)} are both authoritative: one emitter says whose a number is"
        raise Misconfigured(Fault(said, str(path)))
    return found


def _instead(given: str, known: Iterable[str]) -> str:
    names = [*known]
    close = get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"write one of {', '.join(names)}"
