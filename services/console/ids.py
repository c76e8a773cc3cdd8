"""Ids in the addresses of pages."""

from uuid import UUID

from services.intake.core.errors import NotFound
from services.web.site import Visit


def of_path(visit: Visit, name: str = "request_id") -> UUID:
    """The id in the address of the page; raises ``NotFound`` where it is none."""
    try:
        return UUID(visit.request.path_params[name])
    except ValueError:
        raise NotFound("there is nothing at this address: check it, or go by the queue") from None


def place(visit: Visit, name: str) -> UUID | None:
    """After which row a list goes on, as the query says by that name; None: from its beginning."""
    said = visit.request.query_params.get(name)
    try:
        return UUID(said) if said else None
    except ValueError:
        raise NotFound("there is no such place in the list: begin with its first page") from None
