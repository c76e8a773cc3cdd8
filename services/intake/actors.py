"""Who is named in the evidence: the key of a call, the portal, or the person who has signed in; pure."""

from uuid import NAMESPACE_URL, UUID, uuid5

PORTAL = "portal"
"""The id of the portal, which runs inside intake and calls without a key: the API accepts no such bearer."""
PERSON = "person:"
"""How the id of whoever has signed in begins, and calls without a key; no id of a key has such a sign."""


def actor_of(key_id: str) -> str:
    """Returns how the evidence names the caller with that id."""
    return key_id if key_id == PORTAL or key_id.startswith(PERSON) else f"key:{key_id}"


def of_person(holder: str) -> UUID:
    """Under which id the evidence has what somebody of ours did about no request: signed in, or searched."""
    return uuid5(NAMESPACE_URL, f"urn:dsr:person:{holder}")
