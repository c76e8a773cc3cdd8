"""Warnings before the privacy team: one ticket for each request, one comment for each task."""

from collections.abc import Mapping

from shared.domain.errors import Refused
from shared.domain.operations import TaskOutcome
from shared.systems.contract import Receipt, Task
from shared.systems.roundup.tracker import RESOLVED, Tracker

_KEY = "dsr_request"


async def escalate(tracker: Tracker, task: Task) -> Receipt:
    """Open the request's ticket, or find it, and comment on it unless this very task has; resolve it once answered.

    The ticket is found by its field ``dsr_request``, the comment by its message id, so each step can be repeated. One
    that was resolved is open again with what is said of it later. A
    request without any warning has no ticket, and gets none when it is answered.
    """
    request, level = str(task.request_id), str(task.details.get("level", ""))
    title, content = _words(task, level)
    ticket = await _find(tracker, "issue", _KEY, request)
    opened = ticket is None
    if ticket is None and level == RESOLVED:
        return Receipt(task.task_id, TaskOutcome.NO_MATCH)
    if ticket is None:
        ticket = await tracker.create("issue", {"title": title, _KEY: request})
    message_id = f"<{task.task_id}@dsr.invalid>"
    comment = await _find(tracker, "msg", "messageid", message_id)
    if comment is None:
        comment = await tracker.create("msg", {"content": content, "messageid": message_id})
    await tracker.add("issue", ticket, "messages", comment)
    status = await tracker.closed_status() if level == RESOLVED or not opened else None
    if level == RESOLVED:
        if status is None:
            raise Refused(f"the tracker has no status {RESOLVED!r}; add one")
        await tracker.change("issue", ticket, {"status": status})
    elif status is not None:  # it needs a person again
        (present,) = await tracker.read("issue", [ticket], "status")
        if (present.get("status") or {}).get("id") == status and (first := await _first_status(tracker)):
            await tracker.change("issue", ticket, {"status": first})
    return Receipt(task.task_id, TaskOutcome.ESCALATED, found=int(not opened), changed=1, reference=ticket)


_ASKS: Mapping[str, str] = {
    "extend_or_answer": "extend the request {request} ({right}), or answer it by {due}",
    "controller_silent": (
        "the customer to whom the request {request} ({right}) was passed on has said nothing: ask them"
    ),
}
"""Instructions to our staff, by level."""


def _words(task: Task, level: str) -> tuple[str, str]:
    """Title and comment: references, dates and counts, never a person."""
    request, right = str(task.request_id), str(task.details.get("right", ""))
    due = str(task.details.get("due_on") or task.due_on or "")
    title = f"Data subject request {request} ({right}) must be answered by {due}"
    match level:
        case "resolved":
            return title, f"{level}: the request {request} ({right}) was answered: {task.details.get('outcome')}."
        case "digest":
            return f"Data subject requests on {due}", "\n".join((f"Open requests on {due}:", *_listed(task, "lines")))
        case "daily_page":
            title = f"Data subject requests nearly due or overdue on {due}"
            return title, "\n".join((f"{level}{_to(task)}: to be answered:", *_listed(task, "lines")))
        case _ if words := _ASKS.get(level):
            asked = words.format(request=request, right=right, due=due)
            return title, f"{level}{_to(task)}: {asked}."
        case _ if target_on := task.details.get("target_on"):
            words = f"this was to be done by {target_on} for the request {request} ({right})"
            return title, f"{level}{_to(task)}: {words}, which must be answered by {due}."
        case _:
            return title, f"{level}: the request {request} ({right}) must be answered by {due}."


def _to(task: Task) -> str:
    """Names the roles that are warned."""
    roles = " and ".join(_listed(task, "escalate_to")).replace("_", " ")
    return f" for {roles}" if roles else ""


def _listed(task: Task, name: str) -> list[str]:
    found = task.details.get(name)
    return [*map(str, found)] if isinstance(found, list) else []


async def _first_status(tracker: Tracker) -> str | None:
    """Returns the status of a new ticket: the first of the tracker's, but resolved."""
    known = await tracker.search("status", "name,order")
    left = [each for each in known if each.get("name") != RESOLVED]
    return str(min(left, key=lambda each: each.get("order") or 0)["id"]) if left else None


async def _find(tracker: Tracker, classname: str, key: str, value: str) -> str | None:
    items = await tracker.search(classname, key, **{f"{key}:": value})
    ids = sorted((str(item["id"]) for item in items if item.get(key) == value), key=int)
    return ids[0] if ids else None
