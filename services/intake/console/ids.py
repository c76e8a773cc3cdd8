"""Ids in the addresses of pages."""

from uuid import UUID

from services.intake.errors import NotFound
from services.intake.web.site import Visit


def of_path(visit: Visit, name: str = "request_id") -> UUID:
    """The id in the address of the page; raises ``NotFound`` where it is none."""
    try:
        return UUID(visit.request.path_params[name])
    except ValueError:
        raise NotFound("there is nothing at this address: check it, or go by the queue") from None
