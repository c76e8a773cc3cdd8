"""Whether we are sure enough of who is asking; the levels required and the methods known are policy, not code."""

from functools import cache
from pathlib import Path

from shared.domain.identity_rules import IdentityPolicy
from shared.domain.proofs import POLICY
from shared.domain.toml_file import read_with_ours


@cache
def identity_policy(overlay: Path | None = None) -> IdentityPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, IdentityPolicy, overlay)
