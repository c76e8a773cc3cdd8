"""What one erasure will touch and how far it is, as it is noted before the first change and survives a crash.

Ids alone are noted: what a record says stays with its system.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, JsonValue

from shared.domain.holds import LEGAL_HOLD
from shared.domain.operations import Kept
from shared.downstreams import leaving
from shared.downstreams.contract import Receipt, Task
from shared.downstreams.http import held
from shared.downstreams.http.declaration import Declaration, Resource
from shared.downstreams.http.search import Hit
from shared.downstreams.http.staying import Stays, kept

NOTED = "http"
"""Under which key the plan stands in the progress of its task."""


class Target(BaseModel):
    """One record that is to go, and the ids of what it lies below, by resource; ``by_hand``: in which of the ways."""

    id: str | int
    above: Mapping[str, str | int] = {}
    by_hand: int = 0


class FollowedJob(BaseModel):
    """Work of the system that was begun for some ids, and since when; ``ran``: it was told to go on."""

    ids: tuple[str | int, ...]
    since: datetime
    ran: bool = False


class _Noted(BaseModel):
    targets: dict[str, list[Target]] = {}
    counts: dict[str, int] = {}
    stays: dict[str, dict[str, str]] = {}
    unused: dict[str, dict[str, bool]] = {}
    kept: tuple[Kept, ...] = ()
    done: list[str] = []
    handled: dict[str, list[str | int]] = {}
    jobs: dict[str, dict[str, FollowedJob]] = {}
    apart: list[str] = []
    looked_since: dict[str, datetime] = {}
    rounds: int = 0
    told: bool = False
    finished: bool = False


@dataclass(slots=True)
class Plan:
    """The plan of one task; ``noted`` is what of it is durable once ``progress`` has been saved."""

    task: Task
    noted: _Noted = field(default_factory=_Noted)

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """The plan that an earlier attempt has noted."""
        said = task.progress.get(NOTED)
        return cls(task, _Noted.model_validate(said)) if isinstance(said, dict) else None

    @property
    def progress(self) -> Mapping[UUID, Mapping[str, JsonValue]]:
        """As it is noted."""
        return {self.task.task_id: {NOTED: self.noted.model_dump(mode="json")}}

    def add(self, hits: Iterable[Hit], resources: Mapping[str, Resource]) -> None:
        """More records to erase; what was done for a resource is to be done again."""
        for hit in hits:
            ways = enumerate(resources[hit.resource].by_hand)
            way = next((n for n, each in ways if not each.when or any(c.holds_of(hit.record) for c in each.when)), 0)
            above: dict[str, str | int] = {}
            parent = hit.above
            while parent is not None:
                above[parent.resource], parent = parent.id, parent.above
            self.noted.targets.setdefault(hit.resource, []).append(Target(id=hit.id, above=above, by_hand=way))
        self._count(resources)

    def _count(self, resources: Mapping[str, Resource]) -> None:
        counts: Counter[str] = Counter()
        for name, targets in self.noted.targets.items():
            counts[resources[name].category] += len(targets)
        self.noted.counts = {category: rows for category, rows in counts.items() if rows}

    def leave(self, stays: Stays) -> None:
        """These stay: what of them was to go goes no more."""
        for name, record in stays:
            self.noted.stays.setdefault(name, {})[record] = stays[name, record]
            targets = self.noted.targets.get(name, [])
            self.noted.targets[name] = [each for each in targets if str(each.id) != record]

    def restrict(self, shown: held.Shown) -> None:
        """These are kept by a hold alone, and were restricted where they can show it."""
        for name, records in shown.items():
            self.noted.unused.setdefault(name, {}).update(records)

    def spare(self, resources: Mapping[str, Resource]) -> None:
        """Leaves what a hold covers that an earlier attempt has not known, however far that was with it."""
        gone = {key.partition(".")[0] for key in self.noted.done if key.endswith(".gone")}
        theirs = {name for name in self.noted.targets if resources[name].category in self.task.held}
        covered = [(name, target) for name in theirs - gone for target in self.noted.targets[name]]
        above = [each for _, target in covered for each in target.above.items() if each[0] not in gone]
        records = [*((name, target.id) for name, target in covered), *above]
        self.leave({(name, str(record)): LEGAL_HOLD for name, record in records})

    @property
    def known(self) -> set[tuple[str, str]]:
        """What tells the records that are noted from all others."""
        return {(name, str(each.id)) for name, targets in self.noted.targets.items() for each in targets}

    @property
    def staying(self) -> set[tuple[str, str]]:
        """The same of the records that stay."""
        return {(name, record) for name, records in self.noted.stays.items() for record in records}

    def left(self, name: str, key: str) -> list[Target]:
        """The records of one resource of which a step, or a look, has not been answered yet."""
        jobs = self.noted.jobs.get(key, {}).values()
        handled = {*self.noted.handled.get(key, ()), *(each for job in jobs for each in job.ids)}
        return [target for target in self.noted.targets.get(name, ()) if target.id not in handled]

    def handle(self, key: str, targets: Iterable[Target]) -> None:
        """It was answered of these."""
        self.noted.handled.setdefault(key, []).extend(target.id for target in targets)

    def end(self, key: str) -> None:
        """It was answered of all."""
        self.noted.handled.pop(key, None)
        self.noted.done.append(key)

    def again(self, name: str) -> None:
        """Every step and look of one resource is to be taken once more."""
        self.noted.done = [key for key in self.noted.done if key.partition(".")[0] != name]
        self.noted.handled = {key: ids for key, ids in self.noted.handled.items() if key.partition(".")[0] != name}

    def receipt(self) -> Receipt:
        """Everything that was found and does not stay is gone, and was looked for again."""
        return leaving.receipt(self.task, self.noted.counts, self.noted.kept)

    def finish(self, declaration: Declaration) -> None:
        """Nothing is left to do: the ids are forgotten, and the counts stay for a repeat."""
        self._count(declaration.resource)
        stays = {(name, record): rule for name, each in self.noted.stays.items() for record, rule in each.items()}
        left = held.told(declaration, kept(declaration, stays), self.noted.unused)
        self.noted = _Noted(counts=self.noted.counts, kept=left, finished=True)

    def values(self, target: Target, ids: Mapping[str, str]) -> dict[str, Any]:
        """What templates may name of a target; ``ids``: the path of the id of each resource."""
        return {each.type.value: each.value for each in self.task.identities} | self.ids(target, ids)

    @staticmethod
    def ids(target: Target, ids: Mapping[str, str]) -> dict[str, Any]:
        """Its own id, and those of what it lies below, by the names that templates have for them."""
        return {"id": target.id} | {f"{name}.{ids[name]}": value for name, value in target.above.items()}
