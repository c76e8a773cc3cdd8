"""What becomes of a part that nobody can do any more, since the system that it is missing in was retired."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

from services.intake.request import deferrals
from services.intake.request.closing import later_letter
from services.intake.request.letter_kinds import LetterField, LetterOf
from services.intake.request.lifecycle import State
from services.intake.request.transition import MovingRequest, Transition, less_owed
from shared.domain import events
from shared.domain.errors import IllegalTransition, SystemRetired
from shared.domain.operations import TaskOutcome, TaskReport
from shared.domain.sentences import named_system


class MovedByPart(MovingRequest):
    """A request of which a part is missing in a system that is gone."""

    __slots__ = ()

    def out_of_reach(self, system: str) -> tuple[TaskReport, ...]:
        """What is missing in a system that was retired.

        Raises:
            IllegalTransition: nothing is missing there for that reason.
        """
        self.must_be_ours()
        self.must_allow("record_late" if self.state is State.CLOSED else "record")
        parts = tuple(t for t in self.tasks or () if t.system == system and deferrals.is_undone(t))
        if not any(task.failure == SystemRetired.code for task in parts):
            raise IllegalTransition(
                f"nothing is missing in {system} since it was retired: try again, or answer in part"
            )
        return parts

    def end_part(
        self, system: str, reason: str, article: str, proposed_by: str, words: Mapping[str, LetterField]
    ) -> Transition[Self]:
        """Two persons have said it: what is missing there ends, what waited for it goes on, and the subject is told.

        ``words``: what the letter says of the reason.
        """
        ended = {task.task_id: _ended(task, reason) for task in self.out_of_reach(system)}
        request = replace(self, tasks=tuple(ended.get(task.task_id, task) for task in self.tasks or ()))
        recorded = [events.TaskRecorded.about(request, task=task) for task in ended.values()]
        published = (*recorded, *less_owed(self, request))
        said = {"decision": "end_part", "system": system, "reason": reason, "article": article}
        noted = request.noted("decision.made", *published, **said, proposed_by=proposed_by)
        told: LetterOf = ("update", {**words, "about": "part_ended", "system": named_system(system)})
        answered = later_letter(request) if self.goes_on and not request.goes_on else ()
        return replace(noted, letters=(told, *answered))


def _ended(task: TaskReport, reason: str) -> TaskReport:
    known = {name: getattr(task, name) for name in ("task_id", "system", "operation", "not_asked")}
    return TaskReport.model_validate({**known, "outcome": TaskOutcome.NO_LONGER_HELD, "ground": reason.lower()})
