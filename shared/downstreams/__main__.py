"""``python -m shared.downstreams FILE`` checks a downstreams file and says what each system will be asked to do."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.domain.clock import SystemClock
from shared.domain.errors import Misconfigured
from shared.domain.operations import Operation
from shared.domain.records import Message
from shared.downstreams.declarations import read
from shared.downstreams.registry import Downstreams, Wiring, protocol_for


def report(path: Path, wiring: Wiring) -> list[str]:
    """A line for each system that is in use, and the order in which an erasure works them; raises ``Misconfigured``."""
    downstreams = Downstreams.load(path, wiring)
    asyncio.run(downstreams.close())
    lines = []
    for declared in read(path, wiring.environment):
        name, kind = declared.system.name, declared.settings.adapter
        if not declared.enabled:
            lines.append(f"{name}  ({kind})  not enabled")
            continue
        can = [each.value for each in Operation if isinstance(downstreams.get(name).adapter, protocol_for(each))]
        needs = " or ".join(sorted(declared.system.needs))
        lines.append(f"{name}  ({kind})  searched by {needs}: {', '.join(can)}")
    stages = downstreams.stages(Operation.ERASE)
    steps = [", ".join(f"{step.operation} {step.system}" for step in stage) for stage in stages]
    return [*lines, f"an erasure: {'; then '.join(steps)}"]


async def _nowhere(messages: Sequence[Message]) -> None:
    raise Misconfigured(f"a check sends nothing, and was asked to send {len(messages)} messages")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and the file
        sys.exit("usage: python -m shared.downstreams FILE")
    try:
        print(*report(Path(sys.argv[1]), Wiring(os.environ, SystemClock(), _nowhere, b"")), sep="\n")  # noqa: T201
    except Misconfigured as error:
        sys.exit(str(error))
