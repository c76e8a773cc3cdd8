"""How sure somebody is of who asks, or of whose an identity is: levels, the lowest first (REQ-S1)."""

from typing import Final, Literal, get_args

Level = Literal["L0", "L1", "L2", "L3"]
"""What each means: see ``shared/policy/identity.toml``."""
LEVELS: tuple[Level, ...] = get_args(Level)
NOTHING: Final[Level] = "L0"
"""Of what is only stated."""


def less(level: Level) -> Level:
    """One level less."""
    return LEVELS[max(0, LEVELS.index(level) - 1)]
