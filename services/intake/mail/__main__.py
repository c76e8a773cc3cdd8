"""Reads the one mail that comes on standard input: ``apart`` starts this, and waits for it so long and no longer."""

import resource
import sys

from services.intake.mail.incoming import read
from services.intake.mail.wire import answer, asked

CPU_SECONDS = 10
"""Of the processor's time; one of the largest takes two."""
_MEMORY, _BY_LENGTH = 128 * 2**20, 8
"""Bytes, and so many more for each of the mail."""

if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    question = sys.stdin.buffer.read()
    memory = _MEMORY + _BY_LENGTH * len(question)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    sys.stdout.buffer.write(answer(read(*asked(question))))
