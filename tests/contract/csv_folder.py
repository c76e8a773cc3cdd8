"""A folder of CSV files as a system: all that an adapter of a new kind of system needs (CONTRIBUTING.md).

It reads and writes its files, and knows nothing of the law. ``CUSTOMERS`` and ``ORDERS`` say what the rows look like,
``FolderUnit`` finds and changes them, ``Folder`` opens units, and ``CsvAdapter`` offers it all to the services.
Each transaction writes a folder of its own; the link ``now`` leads to the last one that was committed.
"""

import asyncio
import csv
import json
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.policy import Policy
from shared.systems.capabilities import Capabilities
from shared.systems.engine.adapter import EngineAdapter
from shared.systems.engine.records import (
    FLAGS,
    AppliedChanges,
    ChangeKind,
    Flag,
    Holder,
    Link,
    Page,
    Record,
    RecordChange,
    RecordField,
    Shape,
    SubjectSearch,
    TaskNote,
    TimeFormat,
)
from shared.systems.engine.stepwise import NonTransactionalUnit
from shared.systems.settings import LimitedSettings
from shared.systems.sweepable import DatedPlace, DueRecords

Row = dict[str, str]


def _columns(*names: str, **more: Any) -> tuple[RecordField, ...]:
    return tuple(RecordField(name, name, str, rectifies=name if name in more else None) for name in names)


CUSTOMERS: Final = Shape(
    place="customers",
    category="contact",
    parties={},
    holders=(Holder("email", None, IdentityType.EMAIL, yields=True),),
    fields=_columns("email", "name", name=True),
    flags=(Flag("restricted"), Flag("no_marketing"), None),
    used_for_marketing=True,
)
ORDERS: Final = Shape(
    place="orders",
    category="order",
    parties={},
    links=(Link("customers"),),
    anchors=(("ordered", TimeFormat("day", ZoneInfo("UTC"))),),
    fields=_columns("goods", "ordered"),
)
SHAPES: Final = {shape.place: shape for shape in (CUSTOMERS, ORDERS)}
LEADS: Final = {"orders": "customer"}
"""The column with the key of the customer, by place."""


class FolderUnit(NonTransactionalUnit):
    """One transaction over the files: `shapes` come with the referenced place first, `order` is that of deletion.

    `remembers`: the counts of a change are noted next to the data, and not in the progress of the task.
    """

    shapes = (CUSTOMERS, ORDERS)
    order = ("orders", "customers")
    remembers = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.rows: dict[str, dict[str, Row]] = {place: {} for place in SHAPES}
        for place, rows in self.rows.items():
            if (file := folder / f"{place}.csv").exists():
                with file.open(newline="") as lines:
                    rows.update((row["id"], row) for row in csv.DictReader(lines))
        noted = folder / "noted.json"
        self.noted: dict[str, dict[str, int]] = json.loads(noted.read_text()) if noted.exists() else {}

    def write(self, folder: Path) -> None:
        """Writes all of it."""
        for place, rows in self.rows.items():
            with (folder / f"{place}.csv").open("w", newline="") as lines:
                writer = csv.DictWriter(lines, [*next(iter(rows.values()), {"id": ""})])
                writer.writeheader()
                writer.writerows(rows.values())
        (folder / "noted.json").write_text(json.dumps(self.noted))

    async def find(
        self, subjects: Sequence[SubjectSearch], *, lock: bool = False, data: bool = False, most: int | None = None
    ) -> AsyncGenerator[Page]:
        """Yields the customers with one of these addresses, then the orders that lead to them."""
        del lock, most  # one transaction at a time, and all of it is in memory
        sought = {key.value for each in subjects for keys in each.keys.values() for key in keys}
        theirs = {key for key, row in self.rows["customers"].items() if row["email"].lower() in sought}
        yield [self._record("customers", key, data=data) for key in theirs]
        for place, column in LEADS.items():
            led = [key for key, row in self.rows[place].items() if row[column] in theirs]
            yield [self._record(place, key, data=data) for key in led]

    def _record(self, place: str, key: str, *, data: bool) -> Record:
        row, shape = self.rows[place][key], SHAPES[place]
        flags = [row[flag.column] == "yes" if flag else None for flag in shape.flags]
        return Record(
            shape,
            (key,),
            holders=tuple(row[each.column].lower() for each in shape.holders),
            anchors=tuple(date.fromisoformat(row[name]) for name, _ in shape.anchors),
            parents=((0, (row[LEADS[place]],)),) if place in LEADS else (),
            flags=(flags[0], flags[1], flags[2]),
            data=tuple(row[each.column] for each in shape.fields) if data else None,
        )

    async def again(self, records: Sequence[Record], *, data: bool = False) -> Sequence[Record]:
        """Returns the remaining records."""
        names = [(each.shape.place, str(each.key[0])) for each in records]
        return [self._record(place, key, data=data) for place, key in names if key in self.rows[place]]

    async def apply(self, changes: Sequence[RecordChange], *, skip_referenced: bool = False) -> AppliedChanges:
        """Deletes rows, or gives columns other values."""
        del skip_referenced  # what leads to a customer goes with them
        for each in changes:
            rows = self.rows[each.shape.place]
            marks = {ChangeKind.MARK: "yes", ChangeKind.UNMARK: "no"}
            flag = each.shape.flags[FLAGS.index(each.flag)] if each.kind in marks else None
            for record in each.records:
                if each.kind is ChangeKind.DELETE:
                    del rows[record.key[0]]
                elif flag:
                    rows[record.key[0]][flag.column] = marks[each.kind]
                else:
                    rows[record.key[0]] |= {column: value or "" for column, value in each.values}
        return AppliedChanges([len(each.records) for each in changes], {})

    async def note(self, notes: Sequence[TaskNote]) -> Mapping[UUID, Counter[str]]:
        """Notes counts next to the data, so that a repeat returns the same."""
        for each in notes:
            known = self.noted.setdefault(str(each.task.task_id), {})
            if not (each.first and known):
                known |= Counter(known) + Counter(each.counts)
        return {each.task.task_id: Counter(self.noted[str(each.task.task_id)]) for each in notes}

    async def reference(self, records: Sequence[Record]) -> Sequence[str]:
        """Returns the name of each record, since its key has a meaning here alone."""
        return [f"{each.shape.place} {each.key[0]}" for each in records]

    async def size(self, place: str) -> int:
        """Counts the rows of a file."""
        return len(self.rows[place])

    async def past(self, due: DueRecords, after: Record | None, *, most: int) -> Page:
        """Returns the next orders that are past their day."""
        if due.table != "orders":
            raise NotSupported(f"{due.table} has no day from which a period could count")
        old = sorted((row["ordered"], key) for key, row in self.rows["orders"].items())
        last = (str(after.anchors[0]), after.key[0]) if after else ("", "")
        names = [key for day, key in old if last < (day, key) and day < due.first_kept.isoformat()]
        return [self._record("orders", key, data=False) for key in names[:most]]


class Folder:
    """Serves one folder."""

    incarnation, part = "folder", 1_000

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self.limits = name, path, FolderSettings()
        self._turn, self._now = asyncio.Lock(), path / "now"

    def knows(self, tenant: str | None) -> bool:
        """Returns whether it can separate the data of that tenant: it has only our own."""
        return tenant is None

    @asynccontextmanager
    async def unit(
        self, tenant: str | None = None, *, reading: bool = False, known: bool = False
    ) -> AsyncIterator[FolderUnit]:
        """Opens a transaction; a new folder holds what it writes, and replaces the old one in the end."""
        del tenant, known
        async with self._turn:
            unit = FolderUnit(self._now)
            yield unit
            if not reading:
                self.keep(unit)

    def keep(self, unit: FolderUnit) -> None:
        """Commits a unit: writes it into a new folder, to which `now` leads from then on."""
        before = self._now.resolve() if self._now.exists() else None
        after = self.path / str(int(before.name) + 1 if before else 1)
        after.mkdir()
        unit.write(after)
        link = self.path / "next"
        link.symlink_to(after)
        link.replace(self._now)
        if before:
            shutil.rmtree(before)


class FolderSettings(LimitedSettings):
    """Limits how much one request may touch."""

    rounds: int = 3


class CsvAdapter(EngineAdapter):
    """Serves what the services call."""

    def __init__(self, name: str, path: Path, policy: Policy) -> None:
        self.folder = Folder(name, path)
        super().__init__(self.folder, policy)

    @property
    def can(self) -> Capabilities:
        """States what it holds."""
        kinds, held = frozenset({IdentityType.EMAIL}), frozenset(each.category for each in SHAPES.values())
        return Capabilities(searched_by=kinds, yields=kinds, declared_categories=held)

    @property
    def dated(self) -> Sequence[DatedPlace]:
        """Orders have an age."""
        return [DatedPlace("orders", "order", {"ordered": "ordered"})]

    async def close(self) -> None:
        """Does nothing: no connection is open."""
