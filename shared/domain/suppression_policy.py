"""Whose contact points go onto the list of those that get no marketing, besides those of an objection."""

from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from shared.domain.toml_file import read_with_ours

POLICY = Path(__file__).parents[1] / "policy" / "suppression.toml"


class SuppressionPolicy(BaseModel):
    """``erasure``: those of whoever was erased."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    erasure: bool


@cache
def suppression_policy(overlay: Path | None = None) -> SuppressionPolicy:
    """The policy as shipped with the company's own in that folder over it; ``Misconfigured`` if it cannot be used."""
    return read_with_ours(POLICY, SuppressionPolicy, overlay)
