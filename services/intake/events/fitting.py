"""Whether an event that the emitter may send could use what is posted: else it is refused before it is sealed; pure."""

from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from services.intake.access.auth import Caller
from services.intake.access.grant import Grant
from services.intake.core.errors import BadRequest, Forbidden, MalformedEvent, NotDeclared
from services.intake.events.subjects import Stated, SubjectStatement
from services.intake.events.telling import SubjectUnfit, must_name
from services.intake.submission.schemas import Submission
from shared.domain.rights import Right
from shared.domain.user_events import REQUESTED, TYPES, Asked, ConsentWithdrawn, Emitter, RightRequested


def bounded(emitter: Emitter, caller: Caller) -> Caller:
    """The caller, who states no more than the file of emitters lets this one state; raises ``NotDeclared``."""
    if caller.grant.tenant != emitter.tenant:
        raise NotDeclared("the key that has posted the identities is not of the tenant of this emitter")
    return replace(caller, grant=caller.grant.at_most(emitter.level))


def must_serve(emitters: Mapping[str, Emitter], caller: Caller, said: SubjectStatement) -> Caller:
    """The caller, bounded by the file of emitters; returns where an event of theirs could use what they say.

    Raises ``Forbidden``, ``BadRequest``.
    """
    emitter = emitters.get(caller.holder)
    if emitter is None:
        raise Forbidden("the holder of this key is no emitter: use the key whose holder the file of emitters names")
    try:
        caller = bounded(emitter, caller)
    except NotDeclared as other:
        raise Forbidden(str(other)) from None
    faults = dict[str, BadRequest | Forbidden]()
    for kind in filter(emitter.may_say, TYPES):
        try:
            _must_fit(kind, said, caller.grant)
        except (BadRequest, Forbidden) as fault:
            faults[str(fault)] = fault
        else:
            return caller
    if all(isinstance(fault, Forbidden) for fault in faults.values()):
        raise Forbidden("; ".join(faults))
    field = next(fault.field for fault in faults.values() if isinstance(fault, BadRequest))
    raise BadRequest(f"no event that this emitter may send could use it: {'; '.join(faults)}", field)


def _must_fit(kind: str, said: SubjectStatement, grant: Grant) -> None:
    if issubclass(TYPES[kind], Asked):
        right = right_of(kind)
        grant.must_handle(right)
        if (right is Right.RECTIFICATION) != bool(said.changes):
            raise BadRequest("changes belong to a rectification, and a rectification needs at least one", "changes")
        return
    try:
        must_name(TYPES[kind], said)
    except SubjectUnfit as unfit:
        raise BadRequest(f"{kind}: {unfit}", "subject") from None
    if said.changes:
        raise BadRequest("changes belong to a rectification", "changes")


def submission(kind: str, event: Asked, stated: Stated) -> Submission:
    """The request that an event asks for; raises ``MalformedEvent``."""
    if isinstance(event, RightRequested):
        asked = event.model_dump(exclude={"subject"})
    elif isinstance(event, ConsentWithdrawn):
        asked = {**event.model_dump(exclude={"subject", "purpose"}), "purposes": (event.purpose,)}
    else:
        asked = {"scope": "direct_marketing", "instruction_id": event.instruction_id}
    asked |= {"right": right_of(kind), "received_at": event.received_at or stated.stated_at}
    try:
        return Submission.model_validate({**stated.said.model_dump(), **asked})
    except ValidationError as error:
        said = sorted(each["msg"].removeprefix("Value error, ") for each in error.errors(include_url=False))
        raise MalformedEvent(f"data: {'; '.join(said)}") from None


def right_of(kind: str) -> Right:
    """Returns the request that an event of that type asks for."""
    name, _, right = kind.rpartition(".")
    if name == REQUESTED:
        return Right(right)
    return Right.CONSENT_WITHDRAWAL if TYPES[kind] is ConsentWithdrawn else Right.OBJECTION
