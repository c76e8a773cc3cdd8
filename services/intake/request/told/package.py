"""What the subject is told of their copy: that it is ready, withheld, or no longer kept; pure."""

from collections.abc import Iterator

from services.intake.request.stored_request import StoredRequest
from shared.domain.sentences import Sentence, say


def instead_of_ready(request: StoredRequest) -> Sentence | None:
    """What is to be said in the place of "ready to download"; None where it is."""
    if request.package_id is None:
        return None
    if request.package_is_gone:
        return say("package.gone")
    return say("package.withheld") if request.package_fault else None


def of_package(request: StoredRequest) -> Iterator[Sentence]:
    """What is to be said of the copy that comes with a part of an answer; nothing where there is none."""
    if request.package_id:
        yield instead_of_ready(request) or say("package.ready")
