"""Reads the one mail that comes on standard input: ``parser_process`` starts this and bounds its time."""

import resource
import sys
from contextlib import suppress
from pathlib import Path

from services.correspondence.mail.incoming import read
from shared.domain.mail_content import INCOMING, QUESTION

CPU_SECONDS = 10
"""Seconds of processor time for one mail; the largest takes two."""
MEMORY = 144 * 2**20
"""Bytes; ``parser_process`` hands over a bounded part of a mail."""

if __name__ == "__main__":
    with suppress(OSError):  # where memory runs out, this process ends first
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    question, _, raw = sys.stdin.buffer.read().partition(b"\n")
    sys.stdout.buffer.write(INCOMING.dump_json(read(raw, *QUESTION.validate_json(question))))
