"""What a person is known by, one spelling each; numbers are bound to the period in which they were theirs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class IdentityType(StrEnum):
    """The kinds of identity that systems need and yield."""

    EMAIL = "email"
    PHONE = "phone"
    ACCOUNT_ID = "account_id"
    SIP_URI = "sip_uri"
    NAME = "name"  # never searched by alone: only to re-check a hit


@dataclass(frozen=True, slots=True)
class Identity:
    """One identity of a subject.

    ``value``: normalised (e-mail lower-case, phone E.164, SIP host lower-case). ``valid_from``/``valid_to``: UTC, half-open
    ``[from, to)``, the period in which a number was assigned to the subject; a phone number without ``valid_from`` proves
    nothing about past calls. ``source``: who says so: ``requester`` or the name of a downstream.
    """

    type: IdentityType
    value: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    source: str = "requester"
