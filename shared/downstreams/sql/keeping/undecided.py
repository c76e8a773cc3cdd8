"""Erasures at which a person must look first: a rule may keep rows of a store, and is not signed, or nobody knows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from uuid import UUID

from shared.domain.errors import GroundUnknown, Refused
from shared.domain.operations import Limit
from shared.domain.policy import WhereUnknown
from shared.downstreams.contract import Task
from shared.downstreams.leaving import unsigned_rows
from shared.downstreams.sql.keeping.counting import count
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session
from shared.downstreams.states import country_unknown, unknown


async def undecided(session: Session, rules: Sequence[Ruled | Held], tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Why nothing of these tasks may be erased yet; those of which nothing stays, or all is known, are left out.

    What rules would keep that nobody has signed goes once two persons have confirmed as many rows, of all tables; nor
    has anybody signed that what is past their period is. Where no system could tell whether a state lasts for which a
    rule keeps rows, nobody can confirm that; nor where nobody can tell the country, and the rule has a person asked.
    """
    found: dict[UUID, Refused] = {}
    for each in rules:
        if isinstance(each, Held) and not each.known and each.rule:
            said = unknown(session.system, each.table.table.category, each.name, each.rule.lasts_while or "")
            found |= {task_id: GroundUnknown(said) for task_id in await count(session, each.within, tasks)}
        elif each.shown is False and each.rule and each.rule.where_unknown is WhereUnknown.ASK:
            said = country_unknown(session.system, each.table.table.category, each.name, each.rule.jurisdiction)
            found |= {task_id: GroundUnknown(said) for task_id in await count(session, each.within, tasks)}
    unsigned = await _unsigned(session, rules, [task for task in tasks if task.task_id not in found])
    known = {each.name: each.rule for each in rules if each.rule}
    today = max((each.today for each in rules), default=date.min)
    for task in tasks:
        of_task, allowed = unsigned.get(task.task_id, _Unsigned()), task.confirmed.get(Limit.UNSIGNED_ROWS, 0)
        if refused := unsigned_rows(of_task.rows, of_task.of_rule, allowed, known, today):
            found[task.task_id] = refused
    return found


@dataclass
class _Unsigned:
    """The rows of one task by category, and by rule besides, about which rules speak that nobody has signed."""

    rows: Counter[str] = field(default_factory=Counter)
    of_rule: Counter[tuple[str, str]] = field(default_factory=Counter)


async def _unsigned(session: Session, rules: Sequence[Ruled | Held], tasks: Sequence[Task]) -> Mapping[UUID, _Unsigned]:
    parts: dict[tuple[str, str], list[Ruled | Held]] = {}
    for each in rules:
        if each.rule and not each.in_force and (not isinstance(each, Held) or each.known):
            parts.setdefault((each.table.name, each.area), []).append(each)
    found: dict[UUID, _Unsigned] = {}
    for of_part in parts.values():
        held = of_part[0].table.table.category
        for task_id, rows in (await count(session, _concerned(of_part[0]), tasks)).items():
            of_task = found.setdefault(task_id, _Unsigned())
            of_task.rows[held] += rows.count
            of_task.of_rule.update({(held, each.name): rows.count for each in of_part})
    return found


def _concerned(part: Ruled | Held) -> Statements:
    """The rows about which a rule says until when they are kept, whatever it says of each."""
    return replace(part.table, also=f"{part.table.also} AND {part.area}") if part.area else part.table
