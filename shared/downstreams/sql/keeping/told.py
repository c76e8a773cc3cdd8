"""What is told of the rows that rules, holds and what leads to them keep in a SQL store; pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from shared.domain.operations import Kept
from shared.downstreams.contract import Receipt
from shared.downstreams.sql.keeping.leading import Leading
from shared.downstreams.sql.keeping.rules import Ruled
from shared.downstreams.sql.keeping.staying import Counted


def kept_of(counted: Counted) -> dict[UUID, tuple[Kept, ...]]:
    """What is told of it, by task: of each table what rules keep of it, what says no day, and what leads elsewhere."""
    told: dict[UUID, dict[str, list[Kept]]] = {}
    kept: dict[UUID, dict[tuple[str, str, bool, bool], Kept]] = {}
    for each, found in counted:
        for task_id, rows in found.items():
            here, name, mine = told.setdefault(task_id, {}), each.table.name, kept.setdefault(task_id, {})
            if isinstance(each, Leading):
                leads = mine[name, "", True, True] = each.kept(rows, here)
                here.setdefault(name, [leads])
                continue
            said = each.kept(rows)
            here.setdefault(name, []).append(said)
            key = (name, said.rule, said.shown is not False, True)
            if said.count:
                mine[key] = _and(mine[key], said) if key in mine else said
            if isinstance(each, Ruled) and rows.undated:
                undated = each.kept_undated(rows)
                here[name].append(undated)
                key = (name, undated.rule, undated.shown is not False, False)
                mine[key] = _and(mine[key], undated) if key in mine else undated
    return {task_id: tuple(each.values()) for task_id, each in kept.items()}


def _and(one: Kept, other: Kept) -> Kept:
    """Rows of one table that are kept by one rule, in parts of which others keep something, too.

    Whether its law is shown to be theirs is the same of both.
    """
    days = {
        name: which((day for each in (one, other) if (day := getattr(each, name))), default=None)
        for name, which in {"first": min, "last": max, "reduced": min, "anchor": min}.items()
    }
    return one.model_copy(update={"count": one.count + other.count, **days})


def keeping(receipt: Receipt, kept: Sequence[Kept], **also: Any) -> Receipt:
    """The same with what rules keep of what was found: by the first of them, until the last day of all.

    ``also``: what else of the receipt is another.
    """
    if not kept:
        return replace(receipt, **also) if also else receipt
    days = [each.last for each in kept]
    until = None if None in days else max(day for day in days if day is not None)
    rows = sum(each.count for each in kept)
    return replace(receipt, remaining=rows, ground=kept[0].ground, until=until, kept=tuple(kept), **also)
