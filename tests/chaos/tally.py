"""What came of it, counted from what the stores wrote down: lost, twice, wrong person, stuck, restricted again."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from deploy.local import postgres_databases as databases
from shared.storage.evidence import verify
from tests.chaos.arena import CALLS_EACH, Arena
from tests.chaos.crowd import BYSTANDER_EVERY, Asked, Crowd, Wish
from tests.chaos.ledger import Ledger, read
from tests.fixtures.brokers import dead_letters
from tests.fixtures.stores import TICKETS_EACH

ROWS = {"customers": 1, "calls": CALLS_EACH, "tickets": TICKETS_EACH}
_CONCLUDED = """
SELECT request_id::text, detail::jsonb ->> 'system', (detail::jsonb ->> 'changed')::int FROM evidence.entry
WHERE chain = 'erasure' AND action = 'task.concluded' AND detail::jsonb ->> 'outcome' = 'erased'
"""
_CLOSED = "SELECT request_id::text, count(*) FROM evidence.entry WHERE action = 'request.closed' GROUP BY 1"


@dataclass
class Tally:
    """What must be nothing, each with the requests or people that it is about."""

    wrong: dict[str, list[str]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "lost",
                "twice",
                "wrong person",
                "stuck",
                "restricted again",
                "dead letters",
                "broken chains",
                "refused",
            )
        }
    )
    offered: int = 0
    closed: int = 0

    def counts(self) -> dict[str, int]:
        """How many of each."""
        return {name: len(cases) for name, cases in self.wrong.items()}


@dataclass(frozen=True)
class Said:
    """What we say ourselves."""

    outcomes: Mapping[str, str | None]
    """Of every request that we know, by id; none while it is open."""
    closures: Mapping[str, int]
    receipts: Mapping[str, Counter[str]]
    """Rows that a request has removed, by store."""


async def tally(arena: Arena, crowd: Crowd) -> Tally:
    """Counts when all is over."""
    ledger = await read(arena.stores)
    said = await _said(arena.dsn)
    result = Tally(offered=len(crowd.asked))
    for asked in crowd.asked.values():
        for kind, why in _judge(asked, ledger, said):
            result.wrong[kind].append(f"{asked.wish} {asked.request_id} of {asked.number}: {why}")
    result.closed = sum(said.outcomes.get(i) is not None for i in crowd.asked)
    result.wrong["wrong person"] += [f"subject {number}" for number in _strangers(crowd, ledger)]
    result.wrong["dead letters"] += ["one"] * await dead_letters(arena.bootstrap)
    result.wrong["broken chains"] += [chain for chain, broken in (await verify(arena.dsn)).items() if broken]
    result.wrong["refused"] += [f"{status}: {times} times" for status, times in crowd.refused.items()]
    return result


async def _said(dsn: str) -> Said:
    outcomes = dict(map(tuple, await databases.fetch(dsn, "SELECT request_id::text, outcome FROM intake.request")))
    closures = dict(map(tuple, await databases.fetch(dsn, _CLOSED)))
    receipts: dict[str, Counter[str]] = {}
    for request_id, system, changed in await databases.fetch(dsn, _CONCLUDED):
        receipts.setdefault(request_id, Counter())[system] += changed
    return Said(outcomes, closures, receipts)


def _judge(asked: Asked, ledger: Ledger, said: Said) -> Iterator[tuple[str, str]]:
    """What is wrong with one request, and why."""
    request_id, number = asked.request_id, asked.number
    if request_id not in said.outcomes:
        yield "lost", "accepted, and not known"
        return
    outcome = said.outcomes[request_id]
    if outcome is None:
        yield "stuck", "not closed"
        return
    if (times := said.closures.get(request_id, 0)) != 1:
        yield "twice" if times else "lost", f"closed {times} times on record"
    removed = {store: rows[number] for store, rows in ledger.removed.items()}
    changes = ledger.changes.get(number, [])
    match asked.wish:
        case Wish.ERASURE | Wish.WITHDRAWN:
            if outcome == "fulfilled" and removed != ROWS:
                yield "lost", f"removed {removed}"
            if outcome not in {"fulfilled", "withdrawn"} or (outcome, asked.wish) == ("withdrawn", Wish.ERASURE):
                yield "lost", f"closed as {outcome}"
            yield from _receipts(said.receipts.get(request_id, Counter()), removed)
        case Wish.RECTIFICATION:
            yield from _changes(changes, ["rectified"])
        case Wish.RESTRICTION:
            yield from _changes(changes, ["restricted", "lifted"])
        case Wish.ACCESS if outcome != "fulfilled":
            yield "lost", f"closed as {outcome}"


def _receipts(receipts: Counter[str], removed: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """What a store has removed, and what we say that it has; a withdrawn task tells nothing."""
    for store, rows in receipts.items():
        if rows > removed[store]:
            yield "twice", f"{store} has removed {removed[store]} rows, the receipts say {rows}"
        elif rows < removed[store]:
            yield "lost", f"{store} has removed {removed[store]} rows, the receipts say {rows}"


def _changes(made: list[str], expected: list[str]) -> Iterator[tuple[str, str]]:
    if made == expected:
        return
    if "lifted" in made and "restricted" in made[made.index("lifted") :]:
        yield "restricted again", f"{made}"
    elif len(made) < len(expected):
        yield "lost", f"{made}"
    else:
        yield "twice", f"{made}"


def _strangers(crowd: Crowd, ledger: Ledger) -> Iterator[int]:
    """Of whom something was changed though nobody asked, or though what was asked changes nothing of the kind."""
    may_remove = {a.number for a in crowd.asked.values() if a.wish in {Wish.ERASURE, Wish.WITHDRAWN}}
    may_change = {a.number for a in crowd.asked.values() if a.wish in {Wish.RECTIFICATION, Wish.RESTRICTION}}
    yield from ledger.touched
    yield from sorted({number for rows in ledger.removed.values() for number in rows} - may_remove)
    yield from sorted(ledger.changes.keys() - may_change)
    assert all(number % BYSTANDER_EVERY for number in may_remove | may_change)
