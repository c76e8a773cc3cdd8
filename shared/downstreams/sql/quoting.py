"""Names and declared constants as PostgreSQL reads them, and conditions whose values are parameters."""

from dataclasses import dataclass, field
from typing import Any


def quoted(name: str) -> str:
    """A name as PostgreSQL reads it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | None) -> str:
    """A declared constant (never data of a request) as PostgreSQL reads it."""
    if value is None:
        return "NULL"
    prefix = "E" if "\\" in value else ""
    return prefix + "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


@dataclass(slots=True)
class Condition:
    """A condition with bounds and its parameters, for the few tasks that need a statement of their own."""

    arguments: list[Any] = field(default_factory=list)

    def place(self, value: Any, type_: str) -> str:
        self.arguments.append(value)
        return f"${len(self.arguments)}::{type_}"
