"""Where the things lie that exist on this machine alone: below `.local/`, and nowhere else."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
CACHE = LOCAL / "cache"
