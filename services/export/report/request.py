"""Holds the facts of a report except the rows themselves; pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from services.export.report.words import Texts
from services.export.survey import SurveyedCategory
from shared.domain.identities import Identity
from shared.domain.operations import Operation, TaskOutcome, TaskReport, Unsearched
from shared.domain.policy import Policy

Legends = Mapping[str, Mapping[str, Mapping[str, str]]]
"""The meanings of fields by system and category."""
NOTHING: Legends = MappingProxyType({})
"""No explanations."""


LISTS: Final = "suppression"
"""The category of entries in our own lists."""
LISTED: Final = "suppression.listed"
WITHDRAWN: Final = "consent.withdrawn"
OTHER: Final = "other_request"


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """One thing that happened to a request, as the evidence has it: codes, counts and dates only; or was noted for it.

    ``LISTED``: an address or number of theirs (``contact_point``) came onto the list of those that get no marketing.
    ``WITHDRAWN``: by it they consent to a ``purpose`` no more.
    ``OTHER``, in the detail: it happened to another request of the same person, which has that id.
    """

    at: datetime
    action: str
    detail: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """The request that is answered: what the person is known by, what happened to it, what each system has said.

    ``country``: where they live (ISO 3166), if said; ``language``: in which they are answered (ISO 639); ``zone``: in
    which they read times (IANA).
    ``instructed``: a customer has asked, who decides about the data and answers the person (Art. 28(3)(e)).
    """

    request_id: UUID
    policy: Policy
    today: date
    country: str | None = None
    language: str = "en"
    zone: str = "UTC"
    instructed: bool = False
    identities: Sequence[Identity] = ()
    steps: Sequence[TimelineStep] = ()
    reports: Sequence[TaskReport] = ()
    legends: Legends = field(default_factory=dict)

    def portable(self, category: str) -> bool:
        """Returns whether a category is portable; one that the policy does not name is not."""
        declared = self.policy.category(category)
        return declared is not None and declared.portable

    @property
    def own(self) -> Mapping[str, int]:
        """Counts what we hold of them ourselves, by category: their requests, and the list."""
        listed = sum(step.action in {LISTED, WITHDRAWN} for step in self.steps)
        others = {step.detail[OTHER] for step in self.steps if OTHER in step.detail}
        return {"request_file": 1 + len(others)} | ({LISTS: listed} if listed else {})

    def missing(self) -> Mapping[str, str]:
        """Returns by system the code of why its data are not in the answer, or not all of them."""
        reasons: dict[str, str] = {}
        for each in self.reports:
            if each.outcome == TaskOutcome.NO_LONGER_HELD and each.operation != Operation.LOCATE:
                reasons[each.system] = "no_longer_held"
            elif each.failure:
                reasons[each.system] = "failed"
            elif each.not_searched or each.narrowed:
                reasons[each.system] = each.not_searched or Unsearched.NUMBER_NARROWED
            elif each.by_hand and each.outcome == TaskOutcome.EXPORTED:
                reasons[each.system] = "copied_by_hand"
            elif not each.outcome:
                reasons.setdefault(each.system, "not_begun")
        return reasons

    def meaning(self, systems: Sequence[str], category: str, field_name: str) -> str | None:
        """Returns the meaning of a field as the dataset of that kind of data explains it."""
        legends = [self.legends.get(system, {}) for system in systems]
        said = [legend.get(category, {}).get(field_name) for legend in legends]
        return next(filter(None, said), None)


def incomplete(known: Mapping[str, SurveyedCategory], request: ReportRequest, texts: Texts) -> Mapping[str, list[str]]:
    """Returns the columns without an explanation and the categories that the policy does not describe."""
    columns = [f"{category}.{name}" for category, name, meaning in meanings(known, request, texts) if meaning is None]
    strange = [name for name in sorted(known) if request.policy.category(name) is None]
    return {key: names for key, names in (("unexplained", columns), ("undeclared", strange)) if names}


def meanings(
    known: Mapping[str, SurveyedCategory], request: ReportRequest, texts: Texts
) -> Iterator[tuple[str, str, str | None]]:
    """Yields each category and column that is shown with its meaning; None if there is none."""
    for category, found in sorted(known.items()):
        for name in found.fields:
            yield category, name, texts.meaning(request.meaning(found.systems, category, name), name)
