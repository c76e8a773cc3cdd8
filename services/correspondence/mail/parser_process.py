"""Parses each mail in a process of its own, with bounds of time and memory, and without secrets in its environment.

A hostile mail can neither end, freeze nor delay the service. An officer opens the original of an unreadable mail.
One mail is parsed at a time, so that a container needs a known amount of memory.
"""

import asyncio
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Final

from shared.domain.mail_content import INCOMING, QUESTION, Incoming, OurMail, digest_of_body, unreadable

log = logging.getLogger(__name__)

SECONDS: Final = 60
"""A mail may take, however loaded the machine is; of the processor's time it may take less (``__main__``)."""
PARSED: Final = 2 * 2**20
"""Bytes of a mail that are parsed; of a longer one its beginning. The standard parser takes up to 30 times as many."""
_ONE = ThreadPoolExecutor(1, thread_name_prefix="mail")
_ROOT = Path(__file__).parents[3]
_COMMAND = (sys.executable, "-m", "services.correspondence.mail")
_KEPT = ("PATH", "LANG", "TMPDIR", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")


async def read(raw: bytes, arrived_at: datetime, own_addresses: OurMail) -> Incoming:
    """Reads a mail; raises ``OSError`` where no process can be started."""
    return await asyncio.get_running_loop().run_in_executor(_ONE, _read, raw, arrived_at, own_addresses)


def _read(raw: bytes, arrived_at: datetime, own_addresses: OurMail) -> Incoming:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    body = digest_of_body(raw) if len(raw) > PARSED else None
    asked = QUESTION.dump_json((arrived_at, own_addresses, body)) + b"\n" + raw[:PARSED]
    try:
        done = subprocess.run(
            _COMMAND, input=asked, capture_output=True, check=True, timeout=SECONDS, cwd=_ROOT, env=environment
        )
        return INCOMING.validate_json(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        log.warning("mail unreadable, needs a person: %s", type(error).__name__)
        return unreadable(raw, arrived_at, own_addresses)
