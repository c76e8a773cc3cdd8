"""What is new about a request since it was last looked at, and how far its tasks are; pure.

Tasks are read from the timeline: ``fulfilment.opened`` names them, ``task.concluded`` ends one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.intake.client.output import pairs
from services.intake.client.shapes import ENDED, OPENED

_UNSAID = frozenset({"task_id", "signature", "system", "operation", "searched_by", "categories", "by_category", "kept"})
"""What of a task's receipt only a program reads."""
_FIRST = ("outcome", "failure", "found", "changed", "remaining")
"""What people want to know of it first."""


@dataclass
class Progress:
    """What was seen of one request so far; ``tasks``: each by its system and operation, with what came of it."""

    state: str = ""
    tasks: dict[tuple[str, str], str] = field(default_factory=dict)
    _seen: Counter[bytes] = field(default_factory=Counter)

    def news(self, view: Mapping[str, Any], timeline: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """What has happened since, in order: entries of the timeline, tasks that changed, a new state."""
        now = Counter(map(_key, timeline))
        new, self._seen = now - self._seen, now
        for entry in timeline:
            if new[_key(entry)] > 0:
                new[_key(entry)] -= 1
                yield {"event": "entry", **entry}
                yield from self._tasks(entry)
        if view["state"] != self.state:
            self.state = view["state"]
            yield {"event": "state", "state": self.state, "outcome": view["outcome"], "due_on": view["due_on"]}

    @property
    def summary(self) -> str:
        """How far the tasks of each operation are, in a line: ``erase 1 of 2: cdr · crm fulfilled``."""
        operations = dict.fromkeys(operation for _, operation in self.tasks)
        return "; ".join(map(self._summed, operations))

    def _summed(self, operation: str) -> str:
        of_it = {system: ended for (system, each), ended in self.tasks.items() if each == operation}
        cells = ", ".join(f"{system} {ended or '·'}" for system, ended in of_it.items())
        return f"{operation} {sum(map(bool, of_it.values()))} of {len(of_it)}: {cells}"

    def _tasks(self, entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        detail = entry["detail"]
        if entry["action"] in OPENED:
            for step in (step for stage in detail.get("stages", ()) for step in stage):
                system, _, operation = step.partition(":")
                yield self._task(system, operation, "")
        elif entry["action"] in ENDED and {"system", "operation"} <= {*detail}:
            ended = detail.get("outcome") or detail.get("failure") or "by_hand"
            yield self._task(detail["system"], detail["operation"], ended)

    def _task(self, system: str, operation: str, ended: str) -> dict[str, Any]:
        self.tasks[system, operation] = ended
        return {"event": "task", "system": system, "operation": operation, "ended": ended or None}


def line(new: Mapping[str, Any]) -> str | None:
    """What of that a person reads: a line, or nothing where its entry has said it."""
    if new["event"] == "state":
        outcome = f": {new['outcome']}" if new["outcome"] else ""
        return f"{'':20}  {_words(new['state'] + outcome)}, due {new['due_on']}"
    if new["event"] == "task":
        return None
    detail, at = new["detail"], f"{new['at'][:19].replace('T', ' ')}Z"
    if new["action"] in OPENED:
        said = f"{detail['operation']}: {_steps(detail['stages'])}" if "stages" in detail else pairs(detail)
    elif new["action"] in ENDED and "system" in detail:
        names = dict.fromkeys((*_FIRST, *detail))
        rest = {name: detail[name] for name in names if name not in _UNSAID and detail.get(name) not in (None, 0)}
        said = f"{detail.get('operation', '')} {detail['system']}: {pairs(rest)}"
    else:
        said = pairs({name: value for name, value in detail.items() if name not in _UNSAID})
    return f"{at}  {new['service']:9}  {new['action']:22}  {said}".rstrip()


def _steps(stages: Iterable[Iterable[str]]) -> str:
    """Systems of one stage together, stages one after the other."""
    return ", then ".join(" and ".join(step.partition(":")[0] for step in stage) for stage in stages)


def _words(state: str) -> str:
    return state.replace("_", " ")


def _key(entry: Mapping[str, Any]) -> bytes:
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS)
