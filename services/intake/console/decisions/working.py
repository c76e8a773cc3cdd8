"""Decisions about the work in systems, restrictions, and the part of a customer."""

from collections.abc import Sequence

from services.intake.api import decisions as api
from services.intake.console.decisions import options
from services.intake.console.decisions.decision import Asked, Decision, Subject, deciding, saying
from services.intake.console.roles import Power
from services.intake.decision_schemas import Confirmation, ControllerReply, Forwarded, ResultByHand
from services.intake.letters.schemas import PostalAddress
from services.intake.use_cases import UseCases
from shared.domain.errors import Shredded


async def _steps(subject: Subject) -> Sequence[tuple[str, str]]:
    """What is to be done by hand, where the systems say so; that it was read is on record."""
    try:
        told = await api.read_manual_steps(subject.of_request.request_id, subject.person.caller, subject.works.services)
    except Shredded:
        return ()
    return [(each.system, "\n".join(each.do)) for each in told.systems]


def _may_lift(subject: Subject) -> bool:
    request = subject.of_request
    over = request.lifted_at is not None or request.lift_told_at is not None or request.ended_by is not None
    return request.allows("lift") and request.restricts and request.was_restricted and not over


def _may_forward(subject: Subject) -> bool:
    request = subject.of_request
    return request.role != "controller" and request.forwarded_at is None and request.tenant is None


DECISIONS: Sequence[Decision] = (
    Decision(
        name="confirm",
        title="Confirm more than one request may touch",
        power=Power.RELEASE,
        when=lambda subject: bool(options.limits(subject)),
        does=saying(
            "It takes two persons. With the second, the task goes on, up to what was found.",
            "Where it finds more by then, it waits again. Look first whose data these are.",
        ),
        body=Confirmation,
        asks=(Asked("system+limit", "System", "choose", options=options.limits),),
        do=deciding(UseCases.confirm),
        irreversible=True,
    ),
    Decision(
        name="task-result",
        title="Enter what was done by hand",
        power=Power.HANDLE,
        when=lambda subject: bool(options.by_hand(subject)),
        reads=_steps,
        does=saying("It counts as done in that system; once nothing waits any more the request goes on by itself."),
        body=ResultByHand,
        asks=(
            Asked("system", "System", "choose", options=options.by_hand),
            Asked("found", "Found", "number", "Rows or objects of theirs that were there; 0: nothing was"),
            Asked("changed", "Changed", "number", "How many of them were erased or changed; 0 for a copy"),
            Asked("note", "What was done", "area", "For the privacy team; kept sealed"),
        ),
        do=deciding(UseCases.record),
    ),
    Decision(
        name="lift",
        title="Lift the restriction",
        power=Power.HANDLE,
        when=_may_lift,
        does=saying(
            "The person is told first (Art. 18(3)); only once that letter is there or sent are the systems asked to"
            " process the data again.",
        ),
        do=deciding(UseCases.lift),
        irreversible=True,
    ),
    Decision(
        name="forward",
        title="Enter that it was passed on",
        power=Power.HANDLE,
        when=_may_forward,
        does=lambda _: (
            "The person is told that the customer answers, and the request is closed.",
            "The customer's name stands in the letter only if their contract lets us.",
        ),
        body=Forwarded,
        asks=(
            Asked("controller", "Customer who decides about the data", hint="As their contract names them"),
            Asked("may_be_named", "Name", "check", "The contract lets us name them to the person"),
        ),
        do=deciding(UseCases.forward),
        irreversible=True,
    ),
    Decision(
        name="controller-replied",
        title="Enter what the customer has said",
        power=Power.HANDLE,
        when=lambda subject: (
            subject.of_request.forwarded_at is not None and subject.of_request.controller_replied_at is None
        ),
        does=saying("Nobody reminds them any more."),
        body=ControllerReply,
        asks=(Asked("text", "What they say", "area", "Kept sealed"),),
        do=deciding(UseCases.hear_controller),
    ),
    Decision(
        name="postal-address",
        title="Enter the address of record",
        power=Power.HANDLE,
        when=lambda subject: subject.person.may(Power.READ),
        does=saying(
            "Letters on paper go there, and nowhere else. Look it up: it is not the one that their letter names.",
            "Letters that wait for an address go among those to be printed.",
        ),
        body=PostalAddress,
        asks=(
            Asked("lines", "Address", "lines", "As in the window of the envelope, from the name on: 3 to 6 lines"),
            Asked("on_file_in", "System in which you have looked it up", hint="As crm"),
        ),
        do=deciding(UseCases.record_address),
    ),
)
