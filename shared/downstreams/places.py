"""Where a mistake in the downstreams file stands: its table, and the line of the key."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shared.domain.errors import Fault
from shared.domain.toml_places import Place, line_of, lines_of


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file."""

    file: Path
    name: str
    lines: Mapping[Place, int]

    @classmethod
    def each_of(cls, file: Path, names: Mapping[str, object]) -> Mapping[str, Self]:
        """Those of these names."""
        lines = lines_of(file.read_text(encoding="utf-8"))
        return {name: cls(file, name, lines) for name in names}

    def __str__(self) -> str:
        return f"{self.file}: [{self.name}]"

    def fault(self, says: str, *place: str | int) -> Fault:
        """What is wrong with the table, or with the key at that place of it."""
        return Fault(says, str(self.file), line_of(self.lines, (self.name, *place)), f"[{self.name}]")
