"""The checks find out each lie that a system could tell; one that tells none passes them all."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from services.cli import main
from shared.domain.errors import NotSupported, Refused, Unavailable
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, Operation, TaskOutcome
from shared.domain.release import Match
from shared.systems.capabilities import Capabilities
from shared.systems.conformance.checks import (
    CHECKS,
    PREFIX,
    CheckContext,
    CheckResult,
    SamplePeople,
    SamplePerson,
    Verdict,
    run,
    status,
)
from shared.systems.conformance.declared import SeedMethod
from shared.systems.conformance.live import Seeder, SeedFailed
from shared.systems.contract import Checkpoint, CopiedRecord, Receipt, Result, Task
from shared.systems.downstream import Downstream

Row = dict[str, JsonValue]


async def _unnoted(_: object) -> None:
    """Operations that only read note nothing."""


@dataclass
class Toy:
    """A system that is a list of rows, and may lie in one way."""

    lie: str = ""
    rows: list[Row] = field(default_factory=list)
    can: Capabilities = field(default_factory=Capabilities)
    downstream: Downstream = field(init=False)

    def __post_init__(self) -> None:
        self.downstream = Downstream("toy", frozenset({IdentityType.EMAIL}), adapter=self)

    async def close(self) -> None:
        """Nothing to close."""

    async def put(self, person: SamplePerson, rows: int) -> int | None:
        self.rows += [{"email": person.email, "name": person.name, "flag": False, "note": None} for _ in range(rows)]
        return rows

    async def share(self, person: SamplePerson, other: SamplePerson) -> bool:
        self.rows += [{"email": person.email, "with": other.email, "words": "Hello", "flag": False} for _ in range(2)]
        return True

    async def held(self, _: SamplePerson) -> int | None:
        return None  # as of a live system: what it answers must do

    def about(self, task: Task) -> None:
        pass

    async def hear(self, progress: dict[UUID, dict[str, JsonValue]], delay: timedelta) -> None:
        pass

    def _theirs(self, task: Task) -> list[Row]:
        emails = {identity.value for identity in task.identities}
        if self.lie == "searches for a part of an address":
            return [row for row in self.rows if any(email in str(row["email"]) for email in emails)]
        return [row for row in self.rows if emails & {row["email"], row.get("with")}]

    async def _each(
        self, tasks: Sequence[Task], save: Checkpoint, do: Callable[[Task, list[Row]], Awaitable[Receipt]]
    ) -> Sequence[Result]:
        if self.lie in ANSWERS:
            return [ANSWERS[self.lie] for _ in tasks]
        results: list[Result] = []
        for task in tasks:
            before, theirs = task.progress.get("found"), self._theirs(task)
            if not (theirs or before):
                results.append(Receipt(task.task_id, TaskOutcome.NO_MATCH))
                continue
            if before is None and self.lie not in {"forgets what was there", "takes no note"}:
                await save({task.task_id: {"found": len(theirs)}})
            results.append(await do(task, theirs))
        return results[::-1] if self.lie == "mixes results up" else results

    async def locate(self, tasks: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
        async def do(task: Task, theirs: list[Row]) -> Receipt:
            return Receipt(task.task_id, TaskOutcome.LOCATED, found=len(theirs))

        return await self._each(tasks, _unnoted, do)

    async def export(self, tasks: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
        async def do(task: Task, theirs: list[Row]) -> Receipt:
            shown = self.rows if self.lie == "gives everybody's rows" else theirs
            more = {"seen_with": self.rows[-1]["email"]} if self.lie == "mentions another person" else {}
            matched = () if self.lie == "does not say by what" else None
            records = tuple(
                CopiedRecord(
                    "row",
                    "toy",
                    {**row, **more},
                    matched=(Match("email", next(i.value for i in task.identities)),) if matched is None else (),
                )
                for row in shown
            )
            return Receipt(task.task_id, TaskOutcome.EXPORTED, found=len(theirs), records=records)

        return await self._each(tasks, _unnoted, do)

    async def erase(self, tasks: Sequence[Task], save: Checkpoint) -> Sequence[Result]:
        async def do(task: Task, theirs: list[Row]) -> Receipt:
            kept = theirs[:1] if self.lie == "keeps a row" else []
            if self.lie == "erases everybody":
                self.rows.clear()
            for row in theirs:
                self._blank(row, {identity.value for identity in task.identities})
            gone = [row for row in theirs if "with" not in row]
            gone += theirs[:1] if self.lie == "deletes a row of two" else []
            self.rows = [row for row in self.rows if not any(row is other for other in gone) or row in kept]
            noted = task.progress.get("found")
            n = noted if isinstance(noted, int) else len(theirs)
            return Receipt(task.task_id, TaskOutcome.ERASED, found=n, changed=n)

        return await self._each(tasks, save, do)

    def _blank(self, row: Row, emails: set[str]) -> None:
        """Blanks one of two people in a row."""
        if "with" in row and self.lie != "leaves the person in a row of two":
            gone = {name for name in ("email", "with") if row[name] in emails}
            row |= dict.fromkeys({*gone, "words"} if self.lie == "blanks what is the other's" else gone)

    async def amend(self, tasks: Sequence[Task], _: Checkpoint) -> Sequence[Result]:
        async def do(task: Task, theirs: list[Row]) -> Receipt:
            for row in theirs:
                if self.lie != "corrects nothing":
                    row |= {change.field: change.asserted for change in task.changes}
                row["flag"] = task.operation is Operation.RESTRICT
            n = len(theirs)
            return Receipt(task.task_id, TaskOutcome.AMENDED, found=n, changed=n)

        return await self._each(tasks, _unnoted, do)


ANSWERS: dict[str, Result] = {
    "is away": Unavailable("toy is away"),
    "refuses": Refused("toy refuses"),
    "cannot": NotSupported("toy has no way"),
}
RENAMED = Change(field="name", current=None, asserted="Corrected Quarzfels")


def trial(lie: str = "") -> CheckContext:
    return CheckContext(Toy(lie), change=RENAMED, patience=timedelta(seconds=1))


async def words(of: CheckContext) -> dict[str, Verdict]:
    return {name: (await run(check, of)).verdict for name, check in CHECKS.items()}


async def test_a_system_that_does_what_it_says_passes_every_check() -> None:
    found = await words(trial())
    assert set(found.values()) == {Verdict.YES}, found


@pytest.mark.parametrize(
    ("lie", "checks"),
    [
        ("gives everybody's rows", {"exported"}),
        ("does not say by what", {"exported"}),
        ("mentions another person", {"exported"}),
        ("corrects nothing", {"rectified"}),
        ("keeps a row", {"gone on the second look", "kill in the middle"}),
        ("erases everybody", {"foreign hit refused"}),
        ("searches for a part of an address", {"foreign hit refused"}),
        ("forgets what was there", {"repeat harmless", "kill in the middle"}),
        ("takes no note", {"withdrawn before"}),
        ("deletes a row of two", {"row of two people"}),
        ("blanks what is the other's", {"row of two people"}),
        ("leaves the person in a row of two", {"row of two people"}),
        ("mixes results up", {"results in order"}),
    ],
)
async def test_a_lie_is_found_out(lie: str, checks: set[str]) -> None:
    found = await words(trial(lie))
    assert {name for name, word in found.items() if word is Verdict.NO} >= checks, found


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        ("is away", Verdict.UNKNOWN),
        ("refuses", Verdict.NO),
        ("cannot", Verdict.NOT_DECLARED),
    ],
)
async def test_what_cannot_be_found_out_is_not_taken_for_yes_or_no(lie: str, word: Verdict) -> None:
    assert (await run(CHECKS["erased"], trial(lie))).verdict is word


def test_the_status_is_that_of_the_worst_word() -> None:
    def of(*found: Verdict) -> int:
        return status([{str(n): CheckResult(word) for n, word in enumerate(found)}])

    fine = (Verdict.YES, Verdict.NOT_DECLARED, Verdict.SKIPPED)
    assert [of(*fine), of(*fine, Verdict.UNKNOWN), of(*fine, Verdict.NO), of(Verdict.NO, Verdict.UNKNOWN)] == [
        0,
        2,
        1,
        1,
    ]


def test_invented_people_are_no_two_alike_and_all_bear_the_prefix() -> None:
    people = SamplePeople()
    person = people.another()
    everybody = [person, *people.neighbours(person), people.another()]
    assert len({each.email for each in everybody}) == len({each.key for each in everybody}) == 6
    assert all(each.key.startswith(people.prefix) and each.email.startswith(PREFIX) for each in everybody)
    assert people.made == everybody


async def test_a_command_is_given_the_person_and_tells_how_many_rows_it_made(tmp_path: Path) -> None:
    given = tmp_path / "given"
    code = f"import sys; open({str(given)!r}, 'w').write(sys.stdin.read()); print(3)"
    way = SeedMethod(command=(sys.executable, "-c", code))
    assert await Seeder("toy", way, {}).run(SamplePeople().another().values) == 3
    assert PREFIX in given.read_text()
    with pytest.raises(SeedFailed, match="ended with status 1"):
        await Seeder("toy", SeedMethod(command=(sys.executable, "-c", "raise SystemExit(1)")), {}).run({})
    with pytest.raises(SeedFailed, match="No such file"):
        await Seeder("toy", SeedMethod(command=("/nowhere",)), {}).run({})


def conformance(*words: str | Path) -> Any:
    return CliRunner().invoke(main.app, ["conformance", *map(str, words)])


def test_a_file_that_says_nothing_of_test_subjects_is_skipped_and_a_wrong_one_ends_with_2(tmp_path: Path) -> None:
    file = tmp_path / "downstreams.toml"
    file.write_text('[mailing]\nadapter = "opendsr"\nurl = "http://127.0.0.1:1/v2"\nneeds = ["email"]\n')
    done = conformance(file)
    assert done.exit_code == 0
    assert "skipped: write [mailing.conformance] in downstreams.toml" in done.stdout
    assert conformance(file, "--system", "crm").exit_code == 2
    file.write_text(file.read_text() + "[mailing.conformance]\nseed = { command = ['a'], sql = ['b'] }\n")
    assert conformance(file).exit_code == 2
