"""Who is named in the evidence: the key with which somebody has called, or who has signed in; pure."""

PERSON = "person:"
"""How the id of whoever has signed in begins, and calls without a key; no id of a key has such a sign."""


def actor_of(key_id: str) -> str:
    """How the evidence names whoever has called by that id."""
    return key_id if key_id.startswith(PERSON) else f"key:{key_id}"
