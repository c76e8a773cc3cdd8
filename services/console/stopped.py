"""What was stopped and waits for two persons, what contradicts the register, and what was proposed."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response
from starlette.routing import BaseRoute

from services.console.console import Console, Works, local, person_of
from services.console.decisions import acting
from services.console.lists import Link, Row, Table, at_most, show
from services.console.roles import Power
from services.intake.access import key_suspension
from services.intake.actions.identity import WHY
from services.intake.identity import stopped as stopped_proofs
from services.intake.identity.stopped import Stopped as StoppedProof
from services.intake.reviews import assignment_conflicts, retention_runs
from services.intake.reviews.assignment_conflicts import AssignmentConflict
from services.intake.reviews.retention_runs import Sweep
from services.web.site import Visit
from shared.domain import reference


def routes(console: Console) -> list[BaseRoute]:
    """The lists, and a page for each decision about a row."""
    stopped = Stopped(console.works)
    return [
        console.private("/stopped", stopped.show, Power.SEE),
    ]


@dataclass(frozen=True)
class Stopped:
    """The lists of what was stopped, and what waits for a second person."""

    works: Works

    async def show(self, visit: Visit) -> Response:
        """Shows what is blocked until two people release it."""
        person = person_of(visit)
        async with self.works.services.unit_of_work.pool.acquire() as connection:
            keys = await key_suspension.read(connection)
            stopped = [each for each in await retention_runs.listed(connection) if each.state == "stopped"]
            conflicts = await assignment_conflicts.listed(connection)
            failures = self.works.services.use_cases.identity.links.failures
            proofs = await stopped_proofs.waiting(connection, failures)

        open_keys = await acting.offered(self.works, "suspended-keys", ((each.key_id, each) for each in keys), person)
        runs = await acting.offered(self.works, "sweeps", ((each.sweep_id, each) for each in stopped), person)
        named = ((each.conflict_id, each) for each in conflicts)
        disputes = await acting.offered(self.works, "assignment-conflicts", named, person)
        tables = [_keys(keys, open_keys), _sweeps(stopped, runs), _conflicts(conflicts, disputes)]
        return show(visit, "Blocked", [*tables, _proofs(self.works, proofs)])


def _keys(found: Sequence[key_suspension.SuspendedKey], links: Sequence[Sequence[Link]]) -> Table:
    rows = [
        Row((each.holder, each.key_id, str(each.waiting)), offered) for each, offered in zip(found, links, strict=True)
    ]
    lead = "Keys that asked for more erasures in an hour than the policy allows. Their erasures wait."
    return Table("API keys", lead, ("Holder", "Key", "Waiting erasures", "Decide"), rows, "No API key is suspended.")


def _sweeps(found: Sequence[Sweep], links: Sequence[Sequence[Link]]) -> Table:
    rows = [
        Row((f"{each.system}, {each.table_name}", each.ceiling, str(each.due), str(each.of_rows)), offered)
        for each, offered in zip(found, links, strict=True)
    ]
    columns = ("Table", "Ceiling", "Rows to delete", "Rows in total", "Decide")
    lead = "Nightly runs that would delete a larger share of a table than the policy allows."
    return Table("Retention runs", lead, columns, rows, "No retention run is blocked.")


def _conflicts(found: Sequence[AssignmentConflict], links: Sequence[Sequence[Link]]) -> Table:
    rows = [
        Row(
            (each.system, each.kind.replace("_", " "), Link(f"/requests/{each.request_id}", "request")),
            offered,
        )
        for each, offered in zip(found, links, strict=True)
    ]
    lead = "A system and the number register disagree about who had a number. Nothing is done there."
    columns = ("System", "The register says", "Met by", "Decide")
    return Table(
        "Disputes about numbers",
        at_most(lead, found, assignment_conflicts.MOST),
        columns,
        rows,
        "No system contradicts the register.",
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
    lead = "A link or code cannot prove these requesters. Ask in another way, or enter how they proved their identity."
    return Table(
        "Proof of identity",
        at_most(lead, found, stopped_proofs.MOST),
        ("Request", "Why", "Since"),
        rows,
        "No request waits for proof by a person.",
    )
