"""Each mail is read in a process of its own, with a bound of time and memory, and without a secret in its environment.

Anybody can write to us: what they send ends, freezes and holds up nothing. What cannot be read so is put before a
person, who opens the original.
"""

import asyncio
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Final

from services.intake.mail import wire
from services.intake.mail.incoming import Incoming, Ours, unreadable

log = logging.getLogger(__name__)

SECONDS: Final = 60
"""A mail may take, however loaded the machine is; of the processor's time it may take less (``__main__``)."""
_ROOT = Path(__file__).parents[3]
_COMMAND = (sys.executable, "-m", "services.intake.mail")
_KEPT = ("PATH", "LANG", "TMPDIR", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")


async def read(raw: bytes, arrived_at: datetime, ours: Ours) -> Incoming:
    """Reads a mail; raises ``OSError`` where no process can be started."""
    return await asyncio.to_thread(_read, raw, arrived_at, ours)


def _read(raw: bytes, arrived_at: datetime, ours: Ours) -> Incoming:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    asked = wire.question(raw, arrived_at, ours)
    try:
        done = subprocess.run(
            _COMMAND, input=asked, capture_output=True, check=True, timeout=SECONDS, cwd=_ROOT, env=environment
        )
        return wire.answered(done.stdout)
    except (subprocess.SubprocessError, ValueError, LookupError, TypeError) as error:
        log.warning("a mail cannot be read, and is put before a person: %s", type(error).__name__)
        return unreadable(raw, arrived_at, ours)
