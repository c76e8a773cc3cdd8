"""Erasures at which a person must look first: a rule may keep rows of a store, and is not signed, or nobody knows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.errors import GroundUnknown, Refused, RuleUnsigned
from shared.domain.operations import Exceeded, Limit
from shared.downstreams.contract import Task
from shared.downstreams.sql.keeping.counting import count
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.statements import Statements
from shared.downstreams.sql.store import Session
from shared.downstreams.states import unknown


async def undecided(session: Session, rules: Sequence[Ruled | Held], tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Why nothing of these tasks may be erased yet; those of which nothing stays, or all is known, are left out.

    What a rule would keep that nobody has signed goes once two persons have confirmed as many rows; nor has anybody
    signed that what is past its period is. Where no system could tell whether a state lasts for which a rule keeps
    rows, nobody can confirm that.
    """
    found: dict[UUID, Refused] = {}
    for each, parts in _by_rule(rules):
        known = not isinstance(each, Held) or each.known
        if each.rule is None or (known and each.rule.signed(each.today)):
            continue
        rows = Counter[UUID]()
        for part in parts:
            counted = await count(session, _concerned(part), tasks)
            rows.update({task_id: there.count for task_id, there in counted.items()})
        for task in tasks:
            n, allowed = rows[task.task_id], task.confirmed.get(Limit.UNSIGNED_ROWS, 0)
            if n and not known:
                held, state = each.table.table.category, each.rule.lasts_while or ""
                found[task.task_id] = GroundUnknown(unknown(session.system, held, each.name, state))
            elif n > allowed and task.task_id not in found:
                exceeded = Exceeded(limit=Limit.UNSIGNED_ROWS, found=n, allowed=allowed)
                found[task.task_id] = RuleUnsigned(
                    f"{n:,} rows of {each.table.name} are what {each.name} is about, which is not signed: nothing"
                    " was done; have it signed, or confirm that they go",
                    exceeded,
                )
    return found


def _concerned(part: Ruled | Held) -> Statements:
    """The rows about which a rule says until when they are kept, whatever it says of each."""
    if isinstance(part, Held):
        return part.within
    return replace(part.table, also=f"{part.table.also} AND {part.area}") if part.area else part.table


def _by_rule(rules: Sequence[Ruled | Held]) -> Iterator[tuple[Ruled | Held, list[Ruled | Held]]]:
    """Each rule in each table, with the parts of the table that it may concern."""
    parts: dict[tuple[str, str], list[Ruled | Held]] = {}
    for each in rules:
        parts.setdefault((each.table.name, each.name), []).append(each)
    yield from ((of_rule[0], of_rule) for of_rule in parts.values())
