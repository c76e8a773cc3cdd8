"""What stays of a system that erases all it has of a person or nothing: the same plan, over one record per category.

Of its rows it tells no more than how many there are. What a rule keeps for a period it knows itself; what stays by a
state that another system tells, or by a legal hold, is decided before it is asked. Pure.
"""

from collections.abc import Collection, Mapping

from shared.domain.errors import GroundUnknown, NotSupported, Refused
from shared.domain.operations import Kept
from shared.domain.policy import Policy
from shared.systems.contract import Task
from shared.systems.engine import planning
from shared.systems.engine.ownership import Attribution, Mine
from shared.systems.engine.records import Record, Shape
from shared.systems.states import country_unknown


def left(
    task: Task, policy: Policy, categories: Collection[str], rows: Mapping[str, int] | None
) -> tuple[Kept, ...] | Refused:
    """Returns what of a system stays, which is all of it or nothing; or why a person must act there.

    ``rows``: how many it has, by category; None: it was never asked.
    """
    shapes = [Shape(place=held, category=held, parties={}, whole=True) for held in sorted(categories)]
    each = [Record(shape, (), rows=1 if rows is None else rows.get(shape.category, 0)) for shape in shapes]
    found = Attribution(task, {record.name: Mine(record) for record in each})
    made = planning.plan(task.system, policy, None, found, shapes)
    kept = made.kept(marked=False)
    if made.refused:
        return made.refused
    if rows is None and (unclear := next((each for each in kept if each.shown is False), None)):
        country = policy.rules[unclear.rule].jurisdiction  # nobody could be told how much stays, so a person decides
        return GroundUnknown(country_unknown(task.system, unclear.category or "", unclear.rule, country))
    if kept and made.gone:
        stays = ", ".join(sorted({each.category or "" for each in kept}))
        return NotSupported(
            f"{task.system} holds {stays}, which must stay now, and cannot leave that and erase the rest: erase there"
            " by hand what may go, and enter that"
        )
    return kept
