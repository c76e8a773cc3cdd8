"""What an erasure does, told as a table: what its plan says beforehand, and what the receipts say afterwards."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.intake.planned import PlannedCategory, PlannedSystem, planned
from shared.domain.operations import Operation, TaskReport
from shared.domain.policy import Policy

Facts = Mapping[tuple[str, str], tuple[int, int, int, tuple[str, ...]]]
"""By system and category: rows found, deleted, anonymised, and what is kept by which rules."""


def of_plan(plan: Mapping[str, Any]) -> list[PlannedSystem]:
    """What the API has said of a plan."""
    return [PlannedSystem.model_validate(each) for each in plan["systems"]]


def of_receipts(view: Mapping[str, Any], policy: Policy) -> list[PlannedSystem]:
    """What the systems have said to have done."""
    reports = [TaskReport.model_validate(task) for task in view.get("tasks", ())]
    return planned((each for each in reports if each.operation == Operation.ERASE), policy)


def facts(systems: Iterable[PlannedSystem]) -> Facts:
    """The same without its words, to compare."""
    return {
        (system.system, each.category): (
            each.found,
            each.deleted,
            each.anonymised,
            tuple(f"{kept.rows} {kept.ground} {kept.until}" for kept in each.kept),
        )
        for system in systems
        for each in system.categories
        if each.found
    }


def table(systems: Sequence[PlannedSystem], policy: Policy) -> Iterator[str]:
    """A line for each category of each system, and one for each reason to keep something."""
    for system in systems:
        if not any(each.found for each in system.categories):
            yield f"{system.system:10} nothing found"
        for each in system.categories:
            if each.found:
                yield f"{system.system:10} {_name(each, policy):24} {_counts(each)}"
                yield from (f"{'':10} {'':24} {_why(kept)}" for kept in each.kept)


def _name(category: PlannedCategory, policy: Policy) -> str:
    known = policy.categories.get(category.category)
    return (known.words if known else category.category).partition(":")[0]


def _counts(each: PlannedCategory) -> str:
    kept = sum(kept.rows for kept in each.kept)
    did = {"deleted": each.deleted, "anonymised": each.anonymised, "kept": kept}
    return f"{each.found:,} found: " + ", ".join(f"{rows:,} {what}" for what, rows in did.items() if rows)


def _why(kept: Any) -> str:
    until = f"until {kept.until:%d %B %Y}" if kept.until else "for as long as it lasts"
    return f"{until}: {kept.words or kept.ground}" + (f" (Art. {kept.article})" if kept.article else "")
