"""People whose rows a night is to find, as tasks that are worked by no system."""

from collections.abc import Iterable
from uuid import UUID

from shared.domain.identities import Identity
from shared.domain.operations import Operation
from shared.systems.contract import Task


def task_of(request_id: UUID, ref: UUID, known: Iterable[Identity]) -> Task:
    """One that finds the rows of a subject in any system."""
    return Task(request_id, request_id, ref, "", Operation.ERASE, identities=tuple(known))
