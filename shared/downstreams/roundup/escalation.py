"""Warnings before the privacy team: one ticket for each request, one comment for each task."""

from shared.downstreams.contract import Receipt, Task, TaskOutcome
from shared.downstreams.roundup.tracker import Tracker

_KEY = "dsr_request"


async def escalate(tracker: Tracker, task: Task) -> Receipt:
    """Open the request's ticket, or find it, and comment on it unless this very task has.

    The ticket is found by its field ``dsr_request``, the comment by its message id, so each step can be repeated.
    """
    request, right, level = str(task.request_id), str(task.details.get("right", "")), str(task.details.get("level", ""))
    due = str(task.details.get("due_on") or task.due_on or "")
    ticket = await _find(tracker, "issue", _KEY, request)
    opened = ticket is None
    if ticket is None:
        title = f"Data subject request {request} ({right}) must be answered by {due}"
        ticket = await tracker.create("issue", {"title": title, _KEY: request})
    message_id = f"<{task.task_id}@dsr.invalid>"
    comment = await _find(tracker, "msg", "messageid", message_id)
    if comment is None:
        content = f"{level}: the request {request} ({right}) must be answered by {due}."
        comment = await tracker.create("msg", {"content": content, "messageid": message_id})
    await tracker.add("issue", ticket, "messages", comment)
    return Receipt(
        task.task_id, TaskOutcome.ESCALATED, found=0 if opened else 1, changed=1, remaining=0, reference=ticket
    )


async def _find(tracker: Tracker, classname: str, key: str, value: str) -> str | None:
    items = await tracker.search(classname, key, **{f"{key}:": value})
    ids = sorted((str(item["id"]) for item in items if item.get(key) == value), key=int)
    return ids[0] if ids else None
