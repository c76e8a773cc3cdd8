# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201
"""When a ticket was resolved, from which it is counted for how long it is kept; one that is opened again was not."""

from roundup.date import Date


def note(db, cl, nodeid, newvalues):
    """Set the time of resolution when the status becomes resolved, unless the change names one."""
    if "status" not in newvalues or not db.status.stringFind(name="resolved"):
        return
    resolved = db.status.lookup("resolved")
    if newvalues["status"] != resolved:
        newvalues["resolved_on"] = None
    elif not newvalues.get("resolved_on") and (nodeid is None or cl.get(nodeid, "status") != resolved):
        newvalues["resolved_on"] = Date(".")


def init(db):
    """Register for new and changed tickets."""
    db.issue.audit("create", note)
    db.issue.audit("set", note)
