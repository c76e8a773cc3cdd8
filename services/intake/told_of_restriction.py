"""What the subject is told of the restriction that a request brought with it: that it is, stays or is lifted; pure.

No word of it claims that they had asked for one.
"""

from services.intake import restrictions
from services.intake.letters import letter_date
from services.intake.lifecycle import State
from services.intake.stored_request import StoredRequest
from shared.domain.rights import Outcome, Right

RESTRICTED = "Your data is restricted: it is kept, and not used for anything else."
_NOTHING_YET = (
    "No system of ours holds data of yours now that could be restricted. What comes in under the identities that we"
    " know of you is restricted: it is kept, and not used for anything else."
)
_LIFTED = (
    "Your data were restricted while we worked on your request ({ground} GDPR). That restriction is lifted from {day}"
    " on. What else restricts your data, on another request of yours, stays in force."
)
_ENDED = (
    "Your data was restricted, as you had asked. That restriction has ended on {day}, since your data is erased on"
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
    """That data is restricted; where none was found, that only what may come is; empty where it has ended."""
    if request.ended_by:
        return ""
    return RESTRICTED if restrictions.found_something(request.tasks) else _NOTHING_YET


def of_restriction(request: StoredRequest) -> str:
    """What becomes of the restriction with the end of the request, or meanwhile; empty if there is nothing to tell."""
    if request.lift_told_at is not None:
        lifted = _ENDED if request.ended_by else _LIFTED if request.was_restricted else _LIFTED_IF_ANY
        day = letter_date(request.lift_told_at)
        return lifted.format(ground=_ground(request), day=day, erasure=request.ended_by)
    if not (request.restricts and (request.was_restricted or request.unchangeable)):
        return ""
    if request.right is Right.RESTRICTION:
        return ""
    if request.state is not State.CLOSED and request.unchangeable:
        return _UNCHANGEABLE.format(ground=_ground(request))
    if request.state is not State.CLOSED:
        return _MEANWHILE.format(ground=_ground(request)) if request.is_contested else ""
    upheld = request.is_weighed and request.outcome is Outcome.FULFILLED
    return "" if upheld else _STAYS.format(ground=_ground(request))


def _ground(request: StoredRequest) -> str:
    by_right = {Right.RECTIFICATION: "Art. 18(1)(a)", Right.OBJECTION: "Art. 18(1)(d)"}
    return by_right.get(request.right, "Art. 18(1)")
