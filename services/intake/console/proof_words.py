"""Why a proof of who asks waits for a person, and what it does to say that it is theirs after all; pure."""

from collections.abc import Iterator, Mapping

from services.intake.console.decisions.decision import Subject
from services.intake.identity.stopped import Why
from services.intake.request.lifecycle import State

WHY: Mapping[Why, str] = {
    "disowned": "somebody says that they have asked for nothing",
    "withheld": "too many links were asked for, so the last was not sent",
    "wrong_codes": "too many wrong codes",
}


def lifted(subject: Subject) -> list[str]:
    """What it will do to say of a request that its links and codes are the requester's after all."""
    return [*_lifted(subject)]


def _lifted(subject: Subject) -> Iterator[str]:
    why = subject.file.stopped if subject.file else ()
    answered = subject.of_request.state is State.CLOSED
    for each in why:
        yield f"It waits for a person: {WHY[each]}. With this it does not any more."
    yield "Links and codes that were sent, and are not used or expired, are good again; wrong ones are counted anew."
    if "disowned" in why and answered:
        for doubt in subject.file.pending if subject.file else ():
            if doubt.what == "proof":
                proof = doubt.which.replace("_", " ")
                yield f"{doubt.holder} has said that a proof is to be taken back ({proof}): that waits for nobody more."
        yield "A package that is withheld for that is looked at again at once."
    elif "disowned" in why:
        yield "A proof that was taken back by that word stays so: they prove it once more, by a link, a code, or you."
    yield "One person is enough. Ask by a way that is on file, and that is not the one in doubt, before you say so."
    instead = "If it was not theirs, take back the proof instead"
    yield f"{instead}: as it is answered, two persons must say so." if answered else f"{instead}."
