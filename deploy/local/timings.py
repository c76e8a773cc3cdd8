"""The seconds that whole commands took on this machine, kept in `.local/timings.json` for `make bench`."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from deploy.local.paths import LOCAL, ROOT

FILE = LOCAL / "timings.json"


class Timing(BaseModel):
    """How long a command took the last time that it succeeded, and at which commit."""

    seconds: int
    commit: str


_TIMINGS = TypeAdapter(dict[str, Timing])


def keep(command: str, seconds: float, file: Path = FILE) -> None:
    """Keeps the seconds of a command that succeeded, instead of those of its last run."""
    timing = Timing(seconds=round(seconds), commit=revision())
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_TIMINGS.dump_json({**kept(file), command: timing}, indent=1) + b"\n")


def kept(file: Path = FILE) -> Mapping[str, Timing]:
    """Returns what was kept on this machine, by command."""
    return _TIMINGS.validate_json(file.read_bytes()) if file.exists() else {}


def revision() -> str:
    """Returns the commit of this checkout, with a + where files were changed since."""
    described = ["git", "-c", f"safe.directory={ROOT}", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(described, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


if __name__ == "__main__":
    keep(sys.argv[1], float(sys.argv[2]))
