# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201
"""A message without a summary gets its first line, as in Roundup's own template."""


def first_line(_db, _cl, _nodeid, newvalues):
    """Take the first line of the content."""
    if "content" in newvalues and not newvalues.get("summary"):
        newvalues["summary"] = (newvalues["content"].strip().splitlines() or [""])[0][:250]


def init(db):
    """Register for new messages."""
    db.msg.audit("create", first_line)
