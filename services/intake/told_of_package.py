"""What the subject is told of their copy: that it is ready, withheld, or no longer kept; pure."""

from services.intake.stored_request import StoredRequest

WITHHELD = "A copy of your data was made. We withhold it, since one of us must look at it again; you will hear from us."
_GONE = (
    "The copy of your data is no longer kept: it was fetched as often as it may be, or its days are over. If you need"
    " it again, ask us for a new one with a new request."
)
_READY = "What there is of the copy of your data is ready for you to download."


def instead_of_ready(request: StoredRequest) -> str:
    """What is to be said in the place of "ready to download"; empty where it is."""
    if request.package_id is None:
        return ""
    if request.package_is_gone:
        return _GONE
    return WITHHELD if request.package_fault else ""


def of_package(request: StoredRequest) -> str:
    """What is to be said of the copy that comes with a part of an answer; empty where there is none."""
    return instead_of_ready(request) or (_READY if request.package_id else "")
