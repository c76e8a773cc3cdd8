"""What is told of what a system keeps, by a rule or for now, since the rest can only be found by it; pure."""

from collections.abc import Iterator

from services.intake import deferrals
from services.intake.stored_request import StoredRequest
from shared.domain.operations import TaskReport, Unsearched
from shared.domain.policy import read_policy

_LEFT_OUT = frozenset({Unsearched.NUMBER_NOT_VOUCHED_FOR, Unsearched.NUMBER_WITHOUT_PERIOD})
"""Why something was not searched that is not asked for by whoever leaves the number out."""
NOT_BEGUN = "not erased: it is kept for now, since what could not be searched can only be found by it."


def of_kept_for_the_rest(request: StoredRequest) -> Iterator[str]:
    """What is kept, until when, and how to have it erased all the same."""
    systems = deferrals.kept_for_the_rest(request.tasks)
    if not systems:
        return
    yield (
        f"What {', '.join(systems)} may hold of you is kept for now, since what we could not search can only be found"
        " by it: it is erased once you have answered our question."
    )
    if all(task.not_searched in _LEFT_OUT for task in request.tasks or () if task.not_searched):
        yield (
            "If you want it erased all the same, ask us to erase your data once more, and leave out the number by which"
            " we could not search."
        )


def because(task: TaskReport) -> str:
    """Why a system keeps data, or kept them, in the words of the rule; in its own word where the policy knows none."""
    policy = read_policy()
    rule = policy.rule_told_as(task.ground)
    return f"because {policy.rules[rule].words}" if rule else f"because of: {(task.ground or '').replace('_', ' ')}"
