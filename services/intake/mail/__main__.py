"""Reads the one mail that comes on standard input: ``apart`` starts this, and waits for it so long and no longer."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

from services.intake.mail.content import INCOMING, QUESTION
from services.intake.mail.incoming import read

CPU_SECONDS = 10
"""Of the processor's time; one of the largest takes two."""
MEMORY = 144 * 2**20
"""Bytes; ``apart`` hands over a bounded part of a mail."""

if __name__ == "__main__":
    with suppress(OSError):  # where memory runs out, this process ends first
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    question, _, raw = sys.stdin.buffer.read().partition(b"\n")
    sys.stdout.buffer.write(INCOMING.dump_json(read(raw, *QUESTION.validate_json(question))))
