"""The table of a system with a declared HTTP API."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.systems.settings import HttpSettings, Url

SHIPPED = Path(__file__).parents[2] / "policy" / "http"


def path_of(declaration: str) -> Path:
    """Returns the file of a shipped declaration by its name, or a path ending in .toml."""
    return Path(declaration) if declaration.endswith(".toml") else SHIPPED / f"{declaration}.toml"


class DeclaredHttpSettings(HttpSettings):
    """The table of a downstream with ``adapter = "http"``."""

    adapter: Literal["http"] = "http"
    url: Url = Field(description="where its API begins; the paths of the declaration are put after it")
    declaration: str = Field(description="name of a declaration that ships with the product, or path of a TOML file")
    max_people: int = Field(default=1, ge=1, le=1_000, description="records without parent that one request may touch")
    parallel: int = Field(default=8, ge=1, le=64, description="calls under way at a time")
    busy_max_s: float = Field(
        default=900, ge=1, le=86_400, description="how long it is left alone at most when it says that it is busy"
    )
    timeout_s: float = Field(default=10, gt=0, le=3_600, description="how long it may be silent while it answers")

    @property
    def rounds(self) -> int:
        """Returns the most rounds of searching new records during an erasure."""
        return 5
