"""What an erasure would do to a subject's rows (Art. 17), by looking alone: how many there are, or why none may go."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from shared.domain.errors import Refused
from shared.domain.operations import Kept
from shared.domain.policy import Policy
from shared.downstreams.contract import Receipt, Result, Task
from shared.downstreams.sql.finding import examination
from shared.downstreams.sql.keeping import states
from shared.downstreams.sql.keeping import told as kept_told
from shared.downstreams.sql.keeping.by_policy import anonymised
from shared.downstreams.sql.keeping.held import covered_while, kept_while
from shared.downstreams.sql.keeping.rules import ruled, told_alike
from shared.downstreams.sql.keeping.staying import counted, staying
from shared.downstreams.sql.keeping.undecided import undecided
from shared.downstreams.sql.store import Session


async def planned(session: Session, policy: Policy, tasks: Sequence[Task]) -> list[Result]:
    """The result of each task: its rows by category, with what rules keep, or the refusal with which it would end.

    That says what was found, too, where it is known to be the subject's.

    Raises:
        RuleUndeclared: the policy keeps or anonymises something, and the dataset does not say how.
    """
    anonymised(session, policy)
    results: dict[UUID, Result] = {**await examination.refusals(session, tasks)}
    looked_at = [task for task in tasks if task.task_id not in results]
    said = await states.said(session, looked_at)
    kept: dict[UUID, tuple[Kept, ...]] = {}
    for alike in told_alike(looked_at, said).values():
        rules = ruled(session, policy, alike[0], said)
        covered = covered_while(session, policy, alike[0])
        results |= states.refused(session.system, said, alike, covered | kept_while(rules, signed=False))
        results |= await undecided(session, rules, [task for task in alike if task.task_id not in results])
        open_ = [task for task in alike if task.task_id not in results]
        results |= states.refused(session.system, said, open_, covered | kept_while(rules, signed=True))
        open_ = [task for task in alike if task.task_id not in results]
        kept |= kept_told.kept_of(await counted(session, staying(session, rules, alike[0]), open_))
    counts: dict[UUID, Counter[str]] = {task.task_id: Counter() for task in looked_at}
    for category in sorted({table.table.category for table in session.tables}) if looked_at else ():
        others = [table.name for table in session.tables if table.table.category != category]
        for task_id, rows in (await examination.count(session, looked_at, but=others)).items():
            counts[task_id][category] += rows
    for task in looked_at:
        if task.task_id in results:
            continue
        would_go = counts[task.task_id].total() - sum(each.count for each in kept.get(task.task_id, ()))
        excess = session.settings.excess(task, rows=would_go)
        receipt = replace(Receipt.planned(task, counts[task.task_id]), states=states.told(said, task.task_id) or None)
        results[task.task_id] = excess or kept_told.keeping(receipt, kept.get(task.task_id, ()))
    for task_id, rows_of in counts.items():
        if isinstance(why := results[task_id], Refused):
            why.found = +rows_of
    return [results[task.task_id] for task in tasks]
