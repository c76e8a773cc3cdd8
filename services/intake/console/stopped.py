"""What was stopped and waits for two persons, what contradicts the register, and what was proposed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.intake import assignment_conflicts, key_suspension, sweeps
from services.intake.actions.identity import WHY
from services.intake.assignment_conflicts import AssignmentConflict
from services.intake.console.console import Console, Works, local, person_of
from services.intake.console.decisions.decision import Decision, Subject, by_word, saying
from services.intake.console.decisions.page import About, offered, routes_of
from services.intake.console.ids import of_path
from services.intake.console.lists import Link, Row, Table, at_most, show
from services.intake.console.roles import Power
from services.intake.errors import NotFound
from services.intake.identity import stopped as stopped_proofs
from services.intake.identity.stopped import Stopped as StoppedProof
from services.intake.sweeps import Sweep
from services.intake.web.site import Visit
from shared.domain import reference

_BACK = "/stopped"
_Offer = Callable[[Any, str, Decision], list[Link]]
RELEASE = Decision(
    name="release",
    title="Release the API key",
    power=Power.RELEASE,
    when=lambda subject: subject.row.holder != subject.person.holder,
    does=lambda subject: (
        f"{subject.row.waiting} erasures wait, and begin at once.",
        "If the key leaked, revoke it instead (dsr api-key revoke), and close what it has asked for.",
    ),
    do=by_word(key_suspension.release, lambda row: row.key_id),
    irreversible=True,
)
SWEEP = Decision(
    name="confirm",
    title="Let it go",
    power=Power.RELEASE,
    when=lambda subject: subject.row.state == "stopped",
    does=lambda subject: (
        f"{subject.row.due} of about {subject.row.of_rows} rows began before {subject.row.first_kept}.",
        f"The ceiling {subject.row.ceiling} says of them: {subject.row.action}.",
        "It takes two persons. With the second they go within a minute, up to that number and day.",
    ),
    do=by_word(sweeps.confirm, lambda row: row.sweep_id),
    irreversible=True,
)
SETTLE = Decision(
    name="settle",
    title="Say that the register is right",
    power=Power.HANDLE,
    when=lambda _: True,
    does=saying(
        "Nothing more is touched by what the system says, and requests that wait for it go on.",
        "Where the register is wrong, correct its source instead, and read it again.",
    ),
    do=by_word(assignment_conflicts.settle, lambda row: row.conflict_id),
)


def routes(console: Console) -> list[BaseRoute]:
    """The lists, and a page for each decision about a row."""
    stopped = Stopped(console.works)
    return [
        console.private(_BACK, stopped.show, Power.SEE),
        *routes_of(console, "/suspended-keys/{key_id}", [RELEASE], stopped.key),
        *routes_of(console, "/sweeps/{sweep_id}", [SWEEP], stopped.sweep),
        *routes_of(console, "/conflicts/{conflict_id}", [SETTLE], stopped.conflict),
    ]


@dataclass(frozen=True)
class Stopped:
    """The lists of what was stopped, and what waits for a second person."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """What has stopped, until two persons let it go?"""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            keys = await key_suspension.read(connection)
            stopped = [each for each in await sweeps.listed(connection) if each.state == "stopped"]
            conflicts = await assignment_conflicts.listed(connection)
            failures = self.works.services.use_cases.identity.links.failures
            proofs = await stopped_proofs.waiting(connection, failures)

        def offer(row: Any, path: str, decision: Decision) -> list[Link]:
            return offered(Subject(self.works, person, row=row), path, [decision])

        tables = [_keys(keys, offer), _sweeps(stopped, offer), _conflicts(conflicts, offer)]
        return show(visit, "Stopped", [*tables, _proofs(self.works, proofs)])

    async def key(self, visit: Visit) -> About:
        """The suspended key that the address names."""
        key_id = visit.request.path_params["key_id"]
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = next((each for each in await key_suspension.read(connection) if each.key_id == key_id), None)
        if found is None:
            raise NotFound("This API key is not suspended.")
        facts = [("Key", key_id), ("Held by", found.holder), ("Erasures that wait", str(found.waiting))]
        return self._about(visit, found, "A key has asked for more erasures in an hour than the policy allows", facts)

    async def sweep(self, visit: Visit) -> About:
        """The sweep that the address names."""
        sweep_id = of_path(visit, "sweep_id")
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            found = next((each for each in await sweeps.listed(connection) if each.sweep_id == sweep_id), None)
        if found is None:
            raise NotFound("no sweep of that id: each night counts anew, so look at the list again")
        facts = [
            ("System and table", f"{found.system}, {found.table_name}"),
            ("Category", found.category.replace("_", " ")),
            ("Confirmed by", ", ".join(found.confirmed_by) or "nobody yet"),
        ]
        return self._about(visit, found, "More is past its ceiling than the policy's share", facts)

    async def conflict(self, visit: Visit) -> About:
        """The conflict that the address names."""
        conflict_id = of_path(visit, "conflict_id")
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            listed = await assignment_conflicts.listed(connection)
        found = next((each for each in listed if each.conflict_id == conflict_id), None)
        if found is None:
            raise NotFound("no conflict of that id is open: somebody has settled it, perhaps")
        facts = [("System", found.system), ("The register says", found.kind.replace("_", " "))]
        return self._about(visit, found, "A system and the register of numbers contradict one another", facts)

    def _about(self, visit: Visit, row: Any, title: str, facts: Sequence[tuple[str, str]]) -> About:
        return About(Subject(self.works, person_of(visit), row=row), title, _BACK, facts)


def _keys(found: Sequence[key_suspension.SuspendedKey], offer: _Offer) -> Table:
    rows = [
        Row(
            (each.holder, each.key_id, str(each.waiting)),
            offer(each, f"/suspended-keys/{each.key_id}", RELEASE),
        )
        for each in found
    ]
    lead = "A key that asked for more erasures in an hour than the policy allows: its erasures wait."
    return Table("API keys", lead, ("Held by", "Key", "Waiting", "Decide"), rows, "No API key is suspended.")


def _sweeps(found: Sequence[Sweep], offer: _Offer) -> Table:
    rows = [
        Row(
            (f"{each.system}, {each.table_name}", each.ceiling, str(each.due), str(each.of_rows), _by(each)),
            offer(each, f"/sweeps/{each.sweep_id}", SWEEP),
        )
        for each in found
    ]
    columns = ("Table", "Ceiling", "Rows that would go", "Rows in all", "Confirmed by", "Decide")
    lead = "More is past its ceiling in a night than the policy's share of the table."
    return Table("Nightly sweep", lead, columns, rows, "No sweep is stopped.")


def _by(sweep: Sweep) -> str:
    return ", ".join(sweep.confirmed_by) or "nobody yet"


def _conflicts(found: Sequence[AssignmentConflict], offer: _Offer) -> Table:
    rows = [
        Row(
            (each.system, each.kind.replace("_", " "), Link(f"/requests/{each.request_id}", "request")),
            offer(each, f"/conflicts/{each.conflict_id}", SETTLE),
        )
        for each in found
    ]
    lead = "A system takes a number to be somebody's in a time for which the register does not: nothing is done there."
    columns = ("System", "The register says", "Met by", "Decide")
    return Table(
        "Disputes about numbers",
        at_most(lead, found, assignment_conflicts.MOST),
        columns,
        rows,
        "Nothing contradicts the register.",
    )


def _proofs(works: Works, found: Sequence[StoppedProof]) -> Table:
    rows = [
        Row(
            (
                Link(f"/requests/{each.request_id}", reference.of(each.request_id)),
                WHY[each.why],
                local(works, each.since),
            )
        )
        for each in found
    ]
    lead = (
        "No link and no code settles these: ask another way, enter how they proved who they are, or whose a proof is."
    )
    return Table(
        "Proof of who asks",
        at_most(lead, found, stopped_proofs.MOST),
        ("Request", "Why", "Since"),
        rows,
        "No proof waits for a person.",
    )
