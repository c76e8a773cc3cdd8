"""What people read of a request and of what was proposed, from what the API says; pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import typer

from services.intake.client.output import table

_TIME = re.compile(r"(\d{1,7})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta:
    """A time as 30s, 5m, 2h or 1d; raises ``BadParameter``."""
    if not (found := _TIME.fullmatch(text)):
        raise typer.BadParameter("a time is written as 30s, 5m, 2h or 1d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def row(listed: Mapping[str, Any]) -> str:
    """A request of a list."""
    state = f"{listed['state']}: {listed['outcome']}" if listed["outcome"] else listed["state"]
    return f"{listed['request_id']}  {listed['right']:18}  {state:31}  due {listed['due_on']}"


def heading(view: Mapping[str, Any]) -> str:
    """Where a request stands, in a line."""
    outcome = f": {view['outcome']}" if view["outcome"] else ""
    state = f"{view['state']}{outcome}".replace("_", " ")
    warned = f" ({view['warning'].replace('_', ' ')})" if view["warning"] else ""
    return f"{view['right']} {view['request_id']}: {state}, due {view['due_on']}{warned}"


def shown(view: Mapping[str, Any]) -> str:
    """A request: where it stands, what it waits for, its answer, and a row for each task."""
    waits = f"waits for {view['waits_for']}" if view.get("waits_for") else ""
    return "\n".join(filter(None, (heading(view), waits, view["answer"], tasks(view["tasks"]))))


def undone(view: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The tasks for which somebody must do something."""
    return [task for task in view["tasks"] if task.get("failure") or task.get("not_searched")]


def tasks(found: Iterable[Mapping[str, Any]]) -> str:
    """A row for each task: its system, what came of it, in counts, and why not; nothing where there is none."""
    rows = list(map(_task, found))
    return table(rows) if rows else ""


def _task(task: Mapping[str, Any]) -> tuple[str, ...]:
    came = task.get("outcome") or task.get("failure") or "not begun"
    counts = ", ".join(f"{task[name]:,} {name}" for name in ("found", "changed", "remaining") if task.get(name))
    why = task.get("sentence") or task.get("not_searched") or ""
    return f"  {task['system']}", task["operation"], came, counts, why


def planned(plan: Mapping[str, Any]) -> str:
    """What an erasure would do, a row for each system."""
    rows = [
        (
            f"  {each['system']}",
            f"{each['deleted']:,} deleted",
            f"{each['anonymised']:,} anonymised",
            f"{each['kept']:,} kept",
            f"{each['waiting']:,} waiting",
            each["sentence"] or each["refused"] or each["not_searched"] or "",
        )
        for each in plan["systems"]
    ]
    return table(rows) if rows else "  no system holds anything of it"
