"""Whether we are sure enough of who is asking; the levels required are policy, not code."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

from services.intake.schemas import Assurance
from shared.domain.errors import Misconfigured
from shared.domain.rights import Right

POLICY = Path(__file__).parents[2] / "shared" / "policy" / "identity.toml"


def required_levels(path: Path = POLICY) -> Mapping[Right, str]:
    """The level that each right needs; raises ``Misconfigured`` if one is left out or unknown."""
    levels = tomllib.loads(path.read_text()).get("required_level", {})
    for right in Right:
        if levels.get(right) not in ("L0", "L1", "L2", "L3"):
            message = f"{path.name}: [required_level] must give one of L0, L1, L2, L3 for {right}"
            raise Misconfigured(message)
    return {right: levels[right] for right in Right}


def suffices(assurance: Assurance | None, right: Right, required: Mapping[Right, str]) -> bool:
    """Whether that much assurance is enough to begin; an identifier alone is level L0."""
    return (assurance.level if assurance else "L0") >= required[right]
