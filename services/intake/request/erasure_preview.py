"""Shows the result of a dry run by system and category, in the words of the policy; pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date

from pydantic import BaseModel, Field

from shared.domain.operations import Exceeded, Kept, TaskOutcome, TaskReport
from shared.domain.policy import OnErasure, Policy


class PlannedKept(BaseModel):
    """The part of a category that would stay, by which rule and until when."""

    rows: int
    ground: str = Field(description="the rule of the policy, or the word of the system where the policy has none")
    words: str | None = Field(description="what the rule says, as people read it")
    article: str | None = Field(description="the exception of Art. 17(3), or the ground of 17(1) that is not met")
    until: date | None = Field(description="the last day of the last row; none: as long as the ground lasts")
    shown: bool | None = Field(
        description="of a rule by the law of one country: whether the rows show that they are under it; where not, the"
        " letter names neither the rule nor an article"
    )


class PlannedUnsigned(BaseModel):
    """A rule about rows that wait, without a signature; several may be about the same rows."""

    rows: int
    rule: str
    words: str | None = Field(description="what the rule says, as people read it")


class PlannedCategory(BaseModel):
    """One category of the policy in one system: what was found is deleted, anonymised, kept, or waits."""

    category: str
    found: int
    deleted: int
    anonymised: int
    kept: list[PlannedKept]
    waiting: int = Field(description="rows with which nothing would be done as it stands: see `refused` of the system")
    unsigned: list[PlannedUnsigned] = Field(
        description="rules for the data protection officer to sign, or for two people to confirm that the rows go"
    )


class PlannedSystem(BaseModel):
    """The effect of an erasure in one system, or why it is unknown or would be refused."""

    system: str
    outcome: TaskOutcome | None
    found: int
    deleted: int
    anonymised: int
    kept: int
    waiting: int
    categories: list[PlannedCategory]
    refused: str | None = Field(description="why nothing would be erased there as it stands now, in a word")
    sentence: str | None = Field(description="the same in a sentence")
    limit: Exceeded | None = Field(description="how much one request may touch there, and how much more this would")
    not_searched: str | None = Field(description="why it would not be searched, or not by all that is known")


def planned(tasks: Iterable[TaskReport], policy: Policy) -> list[PlannedSystem]:
    """Returns the reports by system."""
    return [_of(task, policy) for task in sorted(tasks, key=lambda task: task.system)]


def _of(task: TaskReport, policy: Policy) -> PlannedSystem:
    categories = list(_categories(task, policy))
    return PlannedSystem(
        system=task.system,
        outcome=TaskOutcome(task.outcome) if task.outcome else None,
        found=task.found,
        deleted=sum(each.deleted for each in categories),
        anonymised=sum(each.anonymised for each in categories),
        kept=sum(retained.rows for each in categories for retained in each.kept),
        waiting=sum(each.waiting for each in categories),
        categories=categories,
        refused=task.failure,
        sentence=task.reason,
        limit=task.exceeded,
        not_searched=task.not_searched,
    )


def _categories(task: TaskReport, policy: Policy) -> Iterator[PlannedCategory]:
    """Counts what is found by category of the policy; unknown categories keep the system's word."""
    found: Counter[str] = Counter()
    for held, rows in task.by_category.items():
        found[policy.category_of(held) or held] += rows
    for name, rows in sorted(found.items()):
        if task.failure:
            unsigned = list(_unsigned(task, name, rows, policy))
            nothing = {"deleted": 0, "anonymised": 0, "kept": [], "waiting": rows}
            yield PlannedCategory.model_validate({"category": name, "found": rows, **nothing, "unsigned": unsigned})
            continue
        retained = list(_retained(task, name, rows, policy))
        remaining = max(0, rows - sum(each.rows for each in retained))
        does = policy.categories[name].on_erasure if name in policy.categories else OnErasure.DELETE
        anonymised = remaining if does is OnErasure.ANONYMISE else 0
        does_now = {"deleted": remaining - anonymised, "anonymised": anonymised, "kept": retained, "waiting": 0}
        yield PlannedCategory.model_validate({"category": name, "found": rows, **does_now, "unsigned": []})


def _unsigned(task: TaskReport, category: str, rows: int, policy: Policy) -> Iterator[PlannedUnsigned]:
    """Returns the rules for which it waits: all named ones, if the system does not count by category."""
    found: Counter[str] = Counter()
    for each in task.unsigned or ():
        if _is_of(each, category, policy):
            found[each.rule] += each.count
    for name, count in sorted(found.items()):
        rule = policy.rules.get(name)
        yield PlannedUnsigned(rows=min(count, rows), rule=name, words=rule.words if rule else None)


def _retained(task: TaskReport, category: str, rows: int, policy: Policy) -> Iterator[PlannedKept]:
    """Returns what stays by rule; all of it, where the system names a ground and no counts."""
    retained = [
        (each.rule, each.count, each.last, each.shown) for each in task.kept or () if _is_of(each, category, policy)
    ]
    if task.kept is None and task.ground is not None:
        retained = [(task.ground, rows, task.until, None)]
    for ground, count, until, shown in retained:
        rule = policy.rules.get(ground)
        words, article = (rule.words, rule.ground) if rule else (None, None)
        said = {"rows": min(count, rows), "ground": ground, "words": words, "until": until, "shown": shown}
        yield PlannedKept.model_validate({**said, "article": None if shown is False else article})


def _is_of(retained: Kept, category: str, policy: Policy) -> bool:
    """Whether it is kept of that category; of no category in particular: of all."""
    return retained.category is None or (policy.category_of(retained.category) or retained.category) == category
