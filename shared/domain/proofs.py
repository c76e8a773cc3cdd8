"""What is proved of a person: each identity to its own level, and none because another is (REQ-S1); pure."""

from collections.abc import Iterable
from typing import Literal

from shared.domain.identities import Identity

Level = Literal["L0", "L1", "L2", "L3"]
"""How sure somebody is of who asks, in this order: see ``shared/policy/identity.toml``."""


def proved(identities: Iterable[Identity], least: Level = "L1") -> tuple[Identity, ...]:
    """Those of a person's identities that are proved to be theirs, to that level at least."""
    return tuple(identity for identity in identities if identity.level >= least)
