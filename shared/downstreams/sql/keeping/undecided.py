"""Erasures at which a person must look first: a rule may keep rows of a store, and is not signed, or nobody knows."""

from collections.abc import Sequence
from uuid import UUID

from shared.domain.errors import GroundUnknown, Refused, RuleUnsigned
from shared.domain.operations import Exceeded, Limit
from shared.downstreams.contract import Task
from shared.downstreams.sql.keeping.held import Held
from shared.downstreams.sql.keeping.rules import Rows, Ruled, count
from shared.downstreams.sql.store import Session
from shared.downstreams.states import unknown


async def undecided(session: Session, rules: Sequence[Ruled | Held], tasks: Sequence[Task]) -> dict[UUID, Refused]:
    """Why nothing of these tasks may be erased yet; those of which nothing stays, or all is known, are left out.

    What a rule would keep that nobody has signed goes once two persons have confirmed as many rows. Where no system
    could tell whether a state lasts for which a rule keeps rows, nobody can confirm that.
    """
    found: dict[UUID, Refused] = {}
    for each in rules:
        known = not isinstance(each, Held) or each.known
        if each.rule is None or (known and each.rule.signed(each.today)):
            continue
        rows = await count(session, each, tasks)
        for task in tasks:
            n, allowed = rows.get(task.task_id, Rows(0)).count, task.confirmed.get(Limit.UNSIGNED_ROWS, 0)
            if n and not known:
                held, state = each.table.table.category, each.rule.lasts_while or ""
                found[task.task_id] = GroundUnknown(unknown(session.system, held, each.name, state))
            elif n > allowed and task.task_id not in found:
                exceeded = Exceeded(limit=Limit.UNSIGNED_ROWS, found=n, allowed=allowed)
                found[task.task_id] = RuleUnsigned(
                    f"{n:,} rows of {each.table.name} would be kept by {each.name}, which is not signed: nothing was"
                    " done; have it signed, or confirm that they go",
                    exceeded,
                )
    return found
