"""What a failed task says for itself, to the privacy team and to the log; the evidence, which stays, has its code.

An adapter makes its sentences of words of ours, names from its own settings, and numbers, never of what a system
answered. This is the second look at them.
"""

import re
from dataclasses import asdict

from pydantic import JsonValue

from shared.domain.errors import BlastRadius, DoneBefore, NotSupported, Refused, Unavailable

_LONGEST = 300
_SUSPECT = re.compile(r"@|\+\d|\d{7}")
"""What an address or a telephone number has, and no sentence of ours: its counts are written in groups of three."""


def sentence_of(failure: Refused | Unavailable) -> str:
    """Why a person must look, or a task waits, in one line; where it could hold anybody's data, what its class says."""
    said = " ".join(str(failure).split())
    if not said or not said.isprintable() or _SUSPECT.search(said):
        said = (type(failure).__doc__ or failure.code).split("\n", 1)[0]
    return said[:_LONGEST]


def why_of(failure: Refused) -> dict[str, JsonValue]:
    """Its sentence, what was done before it, and where a limit has stopped it, which; the fields of a report so named.

    ``looks_again``: a person was told what to do, and a retry shows whether they have; that stays with the task.
    """
    why: dict[str, JsonValue] = {"sentence": sentence_of(failure)}
    if failure.done_before:
        why |= counts_of(failure.done_before)
    if isinstance(failure, BlastRadius) and failure.exceeded:
        why["exceeded"] = failure.exceeded.model_dump(mode="json", exclude_none=True)
    if isinstance(failure, NotSupported) and failure.manual_steps:
        why["looks_again"] = True
    return why


def counts_of(done: DoneBefore) -> dict[str, JsonValue]:
    """What was done before a failure, as the fields of a report of that name."""
    counts = asdict(done)
    return counts if counts.pop("reported") is False else {**counts, "reported": True}
