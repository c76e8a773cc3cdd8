"""In which state of the subject's rows something of theirs must stay: asked in every table before a row goes.

A state that the policy knows keeps what its rules say, and the rest goes; for any other nothing of theirs is erased.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.domain.errors import GroundUnknown, Refused
from shared.downstreams.contract import States, Task
from shared.downstreams.refusals import STATES, ErasureRefused, lasting
from shared.downstreams.sql.declaration.declared import Refusal
from shared.downstreams.sql.finding.attribution import each_row
from shared.downstreams.sql.finding.paths import holds, untold
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Refusals = dict[UUID, Refused]
"""Why nothing of a task may be erased."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the rows of some subjects say of one declared state: whose are in it, and whose do not tell; by task."""

    table: str
    state: Refusal
    lasts: frozenset[UUID]
    unclear: frozenset[UUID]

    @property
    def word(self) -> str | None:
        """What the rules of the policy call the state; None: they have none for it."""
        return STATES.get(self.state.reason)

    def says(self, task_id: UUID) -> bool | None:
        """Whether a row of one task is in it; None: one of theirs does not tell, and no other says so."""
        return True if task_id in self.lasts else None if task_id in self.unclear else False


async def said(session: Session, tasks: Sequence[Task]) -> list[Said]:
    """What is said of each state that the dataset declares, table by table."""
    found = []
    declared = [(table, state) for table in session.tables for state in table.table.refuse_when]
    for table, state in declared if tasks else ():
        lasts = await _of(session, table, holds(state, "t"), tasks)
        unclear = await _of(session, table, neither, tasks) if (neither := untold(state, "t")) else ()
        ids = (frozenset(tasks[position].task_id for position in each) for each in (lasts, unclear))
        found.append(Said(table.name, state, *ids))
    return found


def elsewhere(found: Sequence[Said], task: Task, table: str) -> States:
    """Which states last by what other tables than this one, and other systems, tell of the subject of a task."""
    states: dict[str, bool | None] = {**task.states}
    for each, word in ((each, word) for each in found if each.table != table and (word := each.word)):
        states[word] = lasting(states.get(word, False), each.says(task.task_id))
    return states


def among(found: Sequence[Said], task: Task, table: str) -> Mapping[str, str]:
    """The states in which rows of a table are that say so themselves, each with the condition that a row is in it.

    A condition is never NULL.
    """
    lasts: dict[str, list[str]] = {}
    for each, word in ((each, word) for each in found if each.table == table and (word := each.word)):
        if task.task_id in each.lasts:
            lasts.setdefault(word, []).append(holds(each.state, "t"))
    return {word: f"({' OR '.join(dict.fromkeys(each))})" for word, each in lasts.items()}


def told(found: Sequence[Said], task_id: UUID) -> States:
    """Which states of the policy last by what the rows of one task say; None: one of them does not tell it."""
    states: dict[str, bool | None] = {}
    for each, word in ((each, word) for each in found if (word := each.word)):
        states[word] = lasting(states.get(word, False), each.says(task_id))
    return states


def refused(
    system: str, found: Sequence[Said], tasks: Sequence[Task], kept: Collection[tuple[str, str]] = ()
) -> Refusals:
    """Tasks of whose subject a row is in a declared state, or does not tell whether it is.

    ``kept``: tables, each with a state while which a rule of the policy keeps their rows that are in it: these stay by
    that, and are no reason to let nothing else of the subject go.
    """
    ids = {task.task_id for task in tasks}
    why: dict[UUID, Refused] = {}
    for each in (each for each in found if (each.table, each.word) not in kept):
        says = f"{system} has a row of {each.table} that must stay now: {each.state.reason}"
        why |= {task_id: ErasureRefused(says) for task_id in ids & each.lasts - why.keys()}
    for each in found:
        says = says_neither(system, each.table, each.state)
        why |= {task_id: GroundUnknown(says) for task_id in ids & each.unclear - why.keys()}
    for task_id, failure in why.items():
        failure.states = told(found, task_id) or None
    return why


async def refusals(session: Session, tasks: Sequence[Task]) -> Refusals:
    """The same of the tables of a session, those of which everything stays left out."""
    return refused(session.system, await said(session, tasks), tasks)


def says_neither(system: str, table: str, state: Refusal) -> str:
    """What a person reads of a row that does not tell whether a state lasts."""
    return (
        f"{system} has a row of {table} that does not say whether {state.reason}: enter it there, or name its word in"
        " the dataset, and try again; nothing was done"
    )


async def _of(session: Session, table: Statements, condition: str, tasks: Sequence[Task]) -> Collection[int]:
    """The tasks, by position, of which a row meets a condition."""
    found: set[int] = set()
    also = f" AND {condition}"
    if asked := table.wanted(tasks):
        keys = table.table.primary_key
        rows = await session.connection.fetch(table.select(keys, also=also), *asked.arrays)
        found.update(position for _, owners in each_row(rows, len(keys), table, asked) for position in owners)
    return found
