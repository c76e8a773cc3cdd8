"""What stays of a SQL store in face of an erasure, by all rules, holds and states together; nothing is changed.

Where several rules keep rows of a table, each row is met once, between the instants of two of them, and what is left of
it are the fields of all that keep it still.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from uuid import UUID

from shared.downstreams.contract import Task
from shared.downstreams.sql.keeping.counting import Rows, count
from shared.downstreams.sql.keeping.held import Held, held
from shared.downstreams.sql.keeping.leading import Leading, leading
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.quoting import literal, quoted
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session

Stay = Ruled | Held | Leading
"""A table of which rows stay in face of an erasure, and which of them."""


def staying(session: Session, rules: Sequence[Ruled | Held], task: Task) -> list[Stay]:
    """What holds of this task and those alike cover, what signed rules keep, and what leads to it, in this order.

    What a state keeps stays whatever its day is, with all that any rule in force keeps of it.
    """
    signed = [each for each in rules if each.in_force]
    lasting: dict[tuple[str, str], Held] = {}
    for each in (each for each in signed if isinstance(each, Held) and each.known):
        known = lasting.get(part := _part(each), each)
        left = known.columns.union(*(other.kept_columns for other in signed if _part(other) == part))
        lasting[part] = replace(each if each.whole else known, columns=left)
    counting = [each for each in signed if isinstance(each, Ruled) and _part(each) not in lasting]
    covered = held(session, task.held, task.at.date() if task.at else date.min)
    own: list[Ruled | Held] = [*covered, *lasting.values(), *together(counting)]
    return [*own, *leading(session, own)]


def _part(each: Ruled | Held) -> tuple[str, str]:
    """Of which table, and of which of its rows."""
    return each.table.name, each.area


def without_staying(tables: Sequence[Statements], stay: Sequence[Stay]) -> tuple[Statements, ...]:
    """Returns the same tables without the rows that stay."""
    past: dict[str, str] = {}
    for each in stay:
        also = f" AND NOT {each.stays}" if isinstance(each, Leading) else each.past
        past[each.table.name] = past.get(each.table.name, "") + also
    return tuple(replace(t, also=t.also + past[t.name]) if t.name in past else t for t in tables)


def together(rules: Sequence[Ruled]) -> list[Ruled]:
    """The same so that each row of a table is met once, with all the rules that keep it."""
    found: list[Ruled] = []
    for part in dict.fromkeys(map(_part, rules)):
        of_part = sorted((each for each in rules if _part(each) == part), key=lambda each: each.begins)
        for n, (each, but) in enumerate(zip(of_part, [*of_part[1:], None], strict=True)):
            found.append(replace(each, longer=tuple(of_part[:n]), but=but))
    return found


Counted = Sequence[tuple[Stay, Mapping[UUID, Rows]]]
"""By table what of it stays of each task, each after those to which it leads."""


async def counted(session: Session, stay: Sequence[Stay], tasks: Sequence[Task]) -> Counted:
    """What stays of these tasks now; nothing is changed."""
    return [(each, await count(session, each.within, tasks)) for each in (stay if tasks else ())]


def without_marks(session: Session, tasks: Sequence[Task]) -> tuple[Statements, ...]:
    """The tables of a store, without the rows that restrict what is kept of these tasks' own requests."""
    side = session.restriction
    if side is None:
        return session.tables
    own = ", ".join(sorted(f"{literal(str(task.request_id))}::uuid" for task in tasks))
    but = f" AND (t.{quoted(side.request)} IN ({own})) IS NOT TRUE"
    return tuple(replace(t, also=t.also + but) if t.name == side.table else t for t in session.tables)
