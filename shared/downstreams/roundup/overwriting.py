"""Overwriting in a tracker: hundreds of records in one call by its privacy route, or one by one where it has none."""

import secrets
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.domain.errors import AnswerMalformed, Refused, Unavailable
from shared.downstreams.http_client import failures_of, together
from shared.downstreams.roundup.answers import FIELDS, LEFT, member
from shared.downstreams.roundup.directory import Records
from shared.downstreams.roundup.erasure import blank
from shared.downstreams.roundup.tracker import Failure, Item, Tracker, batches
from shared.downstreams.standing import Standing

_HANGING = ("file", "msg", "query", "issue")
_REASONS = frozenset({"passed on", "refused"})
"""Why the tracker's route leaves a record as it was; nothing else that it says is told on."""


async def overwrite(
    tracker: Tracker, plans: Mapping[UUID, Records], standing: Standing, closed: str | None
) -> Mapping[UUID, Failure]:
    """For each task overwrite everything that hangs on the people, then the people, and retire them.

    ``closed``: the status that their tickets get, so that none waits in the queue without anybody to answer.
    Returns which tasks failed, or were withdrawn before they were done: their people are left as they are, so that a
    repeat finds them.
    """
    failures: dict[UUID, Failure] = {}
    for classes in (_HANGING, ("user",)):
        wishes = [
            (task, _wish(classname, one, records.get("user", ()), closed))
            for task, records in plans.items()
            if task not in failures
            for classname in classes
            for one in records.get(classname, ())
        ]
        for batch in batches(wishes):
            failures |= await standing.withdrawn()
            left = [(task, wish) for task, wish in batch if task not in failures]
            failed = await _together(tracker, left) if left else {}
            if failed is None:
                return await failures_of(
                    {task: _by_rest(tracker, task, plans[task], standing, closed) for task in plans}
                )
            failures |= failed
    return failures


def _wish(classname: str, identity: str, people: Sequence[str], closed: str | None) -> Item:
    """A record as the tracker's route wants it: it is overwritten only while it belongs to one of the people."""
    values = blank(classname, identity, closed)
    return {"class": classname, "id": identity, "of": people, "values": values, "retire": classname == "user"}


async def _together(tracker: Tracker, wishes: Sequence[tuple[UUID, Item]]) -> Mapping[UUID, Failure] | None:
    """Which tasks failed; ``None`` where the tracker has no route for it."""
    try:
        asked = {"records": [record for _, record in wishes], "staff": tracker.staff_roles}
        answer = await tracker.privacy("overwrite", asked, FIELDS)
    except (Unavailable, Refused) as failure:
        return {task: failure for task, _ in wishes}
    if answer is None:
        return None
    reasons: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    left = member(answer, "left", LEFT, tracker.system)
    if any(position >= len(wishes) for position, _ in left):
        raise AnswerMalformed(f"{tracker.system} left records as they were that it was not asked to overwrite")
    for position, why in left:
        task, record = wishes[position]
        reasons[task][f"{record['class']} {why if why in _REASONS else 'for another reason'}"] += 1
    return {task: Refused(_told(whys)) for task, whys in reasons.items()}


def _told(reasons: Counter[str]) -> str:
    kinds = ", ".join(f"{count} x {reason}" for reason, count in sorted(reasons.items()))
    return f"the tracker left {reasons.total()} records as they were: {kinds}"


async def _by_rest(tracker: Tracker, task: UUID, records: Records, standing: Standing, closed: str | None) -> None:
    async def change(classname: str, one: str) -> None:
        async with standing.step(task):
            await tracker.change(classname, one, blank(classname, one, closed))

    await together(*(change(classname, one) for classname in _HANGING for one in records.get(classname, ())))
    for person in records.get("user", ()):
        password = {"password": secrets.token_urlsafe(32)}
        async with standing.step(task):
            await tracker.change("user", person, blank("user", person, closed), unseen=password)
            await tracker.retire("user", person)
