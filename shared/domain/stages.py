"""What a request becomes: steps, in stages of which each is done before the next."""

from typing import NamedTuple

from shared.domain.operations import Operation


class Step(NamedTuple):
    """One task to be: this operation on this system."""

    system: str
    operation: Operation


Stages = tuple[tuple[Step, ...], ...]
