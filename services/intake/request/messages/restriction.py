"""Builds sentences about the restriction that came with a request: it is in force, stays or is lifted; pure.

No word of it claims that they had asked for one.
"""

from collections.abc import Iterator

from services.intake.request import reports
from services.intake.request.deferrals import is_undone
from services.intake.request.lifecycle import State
from services.intake.request.stored_request import StoredRequest
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right
from shared.domain.sentences import Sentence, article, named_systems, say


def restricted(request: StoredRequest) -> Iterator[Sentence]:
    """Yields that data is restricted and where not; if none was found, that future data is; nothing after its end."""
    if not (request.lift_notified_at or request.lifted_at):
        found = reports.found_something(request.tasks)
        yield say("restriction.in_force" if found else "restriction.nothing_yet")
        yield say("restriction.means")
        yield from but_not(request)


def but_not(request: StoredRequest) -> Iterator[Sentence]:
    """Yields where data is not restricted though it was to be."""
    if systems := _not_restricted(request):
        yield say("restriction.but_not", systems=named_systems(systems))


def of_restriction(request: StoredRequest) -> Iterator[Sentence]:
    """Yields what becomes of the restriction at the end of the request, or before it.

    Lifted is what systems have lifted, on that day. What is only decided stays in force until its letter is delivered
    (Art. 18(3)), and is in force again once that letter has come back and the data are restricted again.
    """
    ended = request.lift_notified_at is not None or request.lifted_at is not None
    return _of_its_end(request) if ended else _of_what_is_in_force(request)


def _of_its_end(request: StoredRequest) -> Iterator[Sentence]:
    day, ground = request.lifted_at or request.lift_notified_at or request.received_at, _ground(request)
    lifted = "lifted" if request.lifted_at else "to_be_lifted"
    asked = "_as_asked" if request.right is Right.RESTRICTION and request.lifted_at else ""
    how = asked if request.was_restricted else "_if_any"
    yield say(f"restriction.{lifted}{how}", ground=ground, day=day)
    if request.was_restricted and _not_restricted(request):
        done = {t.system for t in request.tasks or () if reports.is_restricted([t]) and not is_undone(t)}
        yield say("restriction.where", systems=named_systems(done))
    if by_hand := {t.system for t in request.tasks or () if t.operation == Operation.LIFT and is_undone(t)}:
        yield say("restriction.not_lifted", systems=named_systems(by_hand))
    yield say("restriction.others_stay")


def _of_what_is_in_force(request: StoredRequest) -> Iterator[Sentence]:
    if not (request.restricts and request.was_restricted):
        return
    if request.right is Right.RESTRICTION:
        return
    if request.state is not State.CLOSED:
        if request.is_contested:
            yield say("restriction.meanwhile", ground=_ground(request))
            yield from but_not(request)
    elif not (request.is_weighed and request.outcome is Outcome.FULFILLED):  # upheld, the answer says so
        yield say("restriction.stays", ground=_ground(request))


def _not_restricted(request: StoredRequest) -> set[str]:
    return {t.system for t in request.tasks or () if t.operation == Operation.RESTRICT and is_undone(t)}


def _ground(request: StoredRequest) -> Sentence:
    match request.right:
        case Right.RECTIFICATION:
            return article("18(1)(a)")
        case Right.OBJECTION:
            return article("18(1)(d)")
        case _:
            return article("18(1)")
