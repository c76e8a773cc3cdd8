"""What the subject is told of the restriction that a request brought with it: that it is, stays or is lifted; pure.

No word of it claims that they had asked for one.
"""

from services.intake import restrictions
from services.intake.deferrals import is_undone
from services.intake.letters import letter_date
from services.intake.lifecycle import State
from services.intake.stored_request import StoredRequest
from shared.domain.operations import Operation
from shared.domain.rights import Outcome, Right

RESTRICTED = "Your data is restricted: it is kept, and not used for anything else."
_NOTHING_YET = (
    "No system of ours holds data of yours now that could be restricted. What comes in under the identities that we"
    " know of you is restricted: it is kept, and not used for anything else."
)
_LIFTED = (
    "Your data were restricted while we worked on your request ({ground} GDPR){where}. That restriction is lifted from"
    " {day} on. What else restricts your data, on another request of yours, stays in force."
)
_LIFTED_AS_ASKED = (
    "Your data were restricted, as you had asked ({ground} GDPR){where}. That restriction is lifted from {day} on."
    " What else restricts your data, on another request of yours, stays in force."
)
_ENDED = (
    "Your data were restricted, as you had asked. That restriction has ended on {day}, since your data is erased on"
    " another request of yours (reference {erasure})."
)
_LIFTED_IF_ANY = (
    "Where your data were restricted for it ({ground} GDPR), that restriction is lifted from {day} on. What else"
    " restricts your data, on another request of yours, stays in force."
)
_STAYS = (
    "What is restricted for your request ({ground} GDPR) stays restricted: it is kept, and not used for anything else."
    " We tell you before that ends."
)
_MEANWHILE = (
    "Until that is settled your data is restricted ({ground} GDPR): it is kept, and not used for anything else."
)
_UNCHANGEABLE = (
    "One of our systems cannot correct your data at once. Until that is settled we restrict your data ({ground} GDPR):"
    " it is kept, and not used for anything else."
)


def restricted(request: StoredRequest) -> str:
    """That data is restricted and where not; where none was found, that only what may come is; empty once it ended."""
    if request.lift_told_at or request.lifted_at:
        return ""
    found = restrictions.found_something(request.tasks)
    return f"{RESTRICTED if found else _NOTHING_YET} {but_not(request)}".strip()


def but_not(request: StoredRequest) -> str:
    """Where data are not restricted though they were to be, and a blank; empty if there is nothing to tell."""
    systems = sorted({t.system for t in request.tasks or () if t.operation == Operation.RESTRICT and is_undone(t)})
    return f"Not restricted, or not completely, so far: {', '.join(systems)}. " if systems else ""


def of_restriction(request: StoredRequest) -> str:
    """What becomes of the restriction with the end of the request, or meanwhile; empty if there is nothing to tell."""
    return _of_its_end(request) or _of_what_is_in_force(request)


def _of_its_end(request: StoredRequest) -> str:
    if request.lift_told_at is not None:
        day = letter_date(request.lift_told_at)
        if request.ended_by:
            return _ENDED.format(day=day, erasure=request.ended_by)
        asked = _LIFTED_AS_ASKED if request.right is Right.RESTRICTION else _LIFTED
        lifted = asked if request.was_restricted else _LIFTED_IF_ANY
        where = systems_of(request) if request.was_restricted else ""
        return lifted.format(ground=_ground(request), day=day, where=where)
    return ""


def _of_what_is_in_force(request: StoredRequest) -> str:
    if not (request.restricts and (request.was_restricted or request.unchangeable)):
        return ""
    if request.right is Right.RESTRICTION:
        return ""
    if request.state is not State.CLOSED and request.unchangeable:
        return f"{_UNCHANGEABLE.format(ground=_ground(request))} {but_not(request)}".strip()
    if request.state is not State.CLOSED:
        meanwhile = f"{_MEANWHILE.format(ground=_ground(request))} {but_not(request)}".strip()
        return meanwhile if request.is_contested else ""
    upheld = request.is_weighed and request.outcome is Outcome.FULFILLED
    return "" if upheld else _STAYS.format(ground=_ground(request))


def systems_of(request: StoredRequest) -> str:
    """In which systems data were restricted, where they were not in all; empty where they were."""
    done = sorted({t.system for t in request.tasks or () if restrictions.took_effect([t]) and not is_undone(t)})
    return f", in {', '.join(done)}" if but_not(request) else ""


def _ground(request: StoredRequest) -> str:
    by_right = {Right.RECTIFICATION: "Art. 18(1)(a)", Right.OBJECTION: "Art. 18(1)(d)"}
    return by_right.get(request.right, "Art. 18(1)")
