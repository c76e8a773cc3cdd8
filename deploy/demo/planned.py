"""Prints what an erasure does as a table: its plan beforehand, its receipts afterwards."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.intake.request.erasure_preview import PlannedCategory, PlannedSystem, planned
from shared.domain.operations import Operation, TaskReport
from shared.domain.policy import Policy

Facts = Mapping[tuple[str, str], tuple[int, int, int, tuple[str, ...]]]
"""Rows found, deleted, anonymised, and the rules that keep some, by system and category."""


def of_plan(plan: Mapping[str, Any]) -> list[PlannedSystem]:
    """Returns what the API says of a plan."""
    return [PlannedSystem.model_validate(each) for each in plan["systems"]]


def of_receipts(view: Mapping[str, Any], policy: Policy) -> list[PlannedSystem]:
    """Returns what the systems have reported as done."""
    reports = [TaskReport.model_validate(task) for task in view.get("tasks", ())]
    return planned((each for each in reports if each.operation == Operation.ERASE), policy)


def facts(systems: Iterable[PlannedSystem]) -> Facts:
    """Returns the same without its words, to compare."""
    return {
        (system.system, each.category): (
            *(each.found, each.deleted, each.anonymised),
            tuple(f"{kept.rows} {kept.ground} {kept.until}" for kept in each.kept),
        )
        for system in systems
        for each in system.categories
        if each.found
    }


def table(systems: Sequence[PlannedSystem], policy: Policy) -> Iterator[str]:
    """Yields a line for each system, and one for each reason to keep something."""
    for system in systems:
        found = [each for each in system.categories if each.found]
        did = {"deleted": system.deleted, "anonymised": system.anonymised, "kept": system.kept}
        counts = ", ".join(f"{rows:,} {what}" for what, rows in did.items() if rows)
        kinds = ", ".join(f"{_name(each.category, policy)} {each.found:,}" for each in found)
        yield f"{system.system:10} {counts}  ({kinds})" if found else f"{system.system:10} nothing found"
        for words, rows in _kept(found).items():
            yield f"{'':10} {rows:,} {words}"


def _kept(found: Sequence[PlannedCategory]) -> Mapping[str, int]:
    """Returns how many rows are kept for which reason, and until when."""
    rows: Counter[str] = Counter()
    for kept in (kept for each in found for kept in each.kept):
        until = f"until {kept.until:%d %B %Y}" if kept.until else "for as long as it lasts"
        article = f" (Art. {kept.article})" if kept.article else ""
        rows[f"{until}: {kept.words or kept.ground}{article}"] += kept.rows
    return rows


def _name(category: str, policy: Policy) -> str:
    known = policy.categories.get(category)
    return (known.words if known else category).partition(":")[0]
