"""Counts violations from the stores' records: lost, twice, wrong person, stuck, restricted again."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from deploy.local import postgres_databases as databases
from shared.storage.evidence import verify
from tests.chaos import resolved
from tests.chaos.arena import CALLS_EACH, Arena
from tests.chaos.crowd import BYSTANDER_EVERY, Asked, Crowd, Wish
from tests.chaos.ledger import Ledger, read
from tests.chaos.nights import PEOPLE_A_NIGHT
from tests.fixtures.brokers import dead_letters
from tests.fixtures.stores import TICKETS_EACH

DOWNLOADS = 5
"""Downloads allowed per copy."""
_SHREDDED, _UNENDED = (DOWNLOADS, 1, False, False), (DOWNLOADS, 0, True, True)
_DONE, _BEGUN = "request.closed", "task.concluded"
_NEVER = datetime.max.replace(tzinfo=UTC)
_ENDED = {Wish.INSTRUCTED: "assisted", Wish.HELD: "partially_fulfilled"}
_WITHDRAWN = {Wish.WITHDRAWN, Wish.UNPROVEN}
ROWS = {"customers": 1, "calls": CALLS_EACH, "tickets": TICKETS_EACH}
_CONCLUDED = """
SELECT request_id::text, detail::jsonb ->> 'system', (detail::jsonb ->> 'changed')::int FROM evidence.entry
WHERE chain = 'erasure' AND action = 'task.concluded' AND detail::jsonb ->> 'outcome' = 'erased'
"""
_LETTERS = """
SELECT request_id::text, kind, max(n), CASE count(*) WHEN 2 THEN min(n) ELSE 0 END FROM (
    SELECT request_id, detail::jsonb ->> 'kind' AS kind, count(*) AS n FROM evidence.entry
    WHERE action = 'letter.written' GROUP BY 1, 2
    UNION ALL SELECT request_id, kind, count(*) FROM intake.letter GROUP BY 1, 2
) AS counts GROUP BY 1, 2
"""
_COPIES = """
SELECT request_id::text, count(*) FILTER (WHERE action = 'package.downloaded'),
       count(*) FILTER (WHERE action = 'package.removed'),
       EXISTS (SELECT FROM vault.sealed s WHERE s.sealed_id = p.package_id),
       EXISTS (SELECT FROM intake.download d WHERE d.package_id = p.package_id)
FROM intake.package p JOIN evidence.entry e USING (request_id) GROUP BY 1, p.package_id
"""
_IN_ORDER = """
SELECT request_id::text, action, min(at) FROM evidence.entry
WHERE action = 'request.closed' OR chain = 'erasure' AND action = 'task.concluded' GROUP BY 1, 2
"""
_SWEPT = """
SELECT count(*), coalesce(sum(gone), 0)::int FROM (
    SELECT max((detail::jsonb ->> 'gone')::int) AS gone FROM evidence.entry
    WHERE action IN ('retention.sweeping', 'retention.swept') GROUP BY request_id
) AS night
"""
_SUSPENDED = "SELECT count(*) FROM intake.suspended_key"
_CLOSED = "SELECT request_id::text, count(*) FROM evidence.entry WHERE action = 'request.closed' GROUP BY 1"


@dataclass
class Tally:
    """Counts that must be zero, with the requests or people concerned."""

    wrong: dict[str, list[str]] = field(
        default_factory=lambda: {
            name: []
            for name in (
                "lost",
                "twice",
                "wrong person",
                "stuck",
                "restricted again",
                "erased before it was seen",
                "not shredded",
                "keys left suspended",
                "dead letters",
                "broken chains",
                "refused",
                "letters lost",
                "letters twice",
            )
        }
    )
    offered: int = 0
    closed: int = 0
    nights: int = 0
    swept: int = 0
    """Rows past their period that were deleted without a request."""

    def counts(self) -> dict[str, int]:
        return {name: len(cases) for name, cases in self.wrong.items()}


@dataclass(frozen=True)
class Said:
    """The platform's own statements."""

    outcomes: Mapping[str, str | None]
    """Outcome by request ID; None while it is open."""
    closures: Mapping[str, int]
    receipts: Mapping[str, Counter[str]]
    """Rows that a request has removed, by store."""
    letters: Mapping[str, Mapping[str, tuple[int, int]]]
    """Fewest and most letters of each kind per request, on record or kept."""
    copies: Mapping[str, tuple[int, int, bool, bool]]
    """For each copy: downloads, removals, whether it exists, and whether a download may continue."""
    order: Mapping[tuple[str, str], datetime]
    """When a request was closed, and when the first system had done its part of an erasure."""
    swept: tuple[int, int]
    """Nights, and the rows that are gone by them."""


async def tally(arena: Arena, crowd: Crowd, faults: int) -> Tally:
    """Counts once everything has ended.

    ``faults``: the number of faults. As many copies may remain for continued downloads, if intake ended before it noted
    the end of the last download.
    """
    said, due = await _said(arena.dsn), await resolved.due(arena.stores)
    ledger = await read(arena.stores)  # last: where work still goes on, nothing was said of it
    result = Tally(offered=len(crowd.asked), nights=said.swept[0])
    removed = ledger.removed[resolved.STORE]
    result.swept = (removed & due).total()
    for kind, why in _nights(said.swept[1], result.swept, faults):
        result.wrong[kind].append(why)
    result.wrong["lost"] += [f"subject {number} is past a period, and still there" for number in due - removed]
    ledger = replace(ledger, removed={**ledger.removed, resolved.STORE: removed - due})
    for asked in crowd.asked.values():
        for kind, why in _judge(asked, ledger, said):
            result.wrong[kind].append(f"{asked.wish} {asked.request_id} of {asked.number}: {why}")
    unended = [request_id for request_id, copy in said.copies.items() if copy == _UNENDED]
    if len(unended) > faults:
        result.wrong["not shredded"] += unended
    result.closed = sum(said.outcomes.get(i) is not None for i in crowd.asked)
    result.wrong["wrong person"] += [f"subject {number}" for number in _strangers(crowd, ledger)]
    result.wrong["dead letters"] += ["one"] * await dead_letters(arena.bootstrap)
    result.wrong["broken chains"] += [chain for chain, broken in (await verify(arena.dsn)).items() if broken]
    result.wrong["keys left suspended"] += ["one"] * (await databases.fetch(arena.dsn, _SUSPENDED))[0][0]
    result.wrong |= await arena.post.wrong(arena.dsn, faults)
    result.wrong["refused"] += [f"{status}: {times} times" for status, times in crowd.refused.items()]
    return result


async def _said(dsn: str) -> Said:
    outcomes = dict(map(tuple, await databases.fetch(dsn, "SELECT request_id::text, outcome FROM intake.request")))
    closures = dict(map(tuple, await databases.fetch(dsn, _CLOSED)))
    receipts: dict[str, Counter[str]] = {}
    for request_id, system, changed in await databases.fetch(dsn, _CONCLUDED):
        receipts.setdefault(request_id, Counter())[system] += changed
    letters: dict[str, dict[str, tuple[int, int]]] = {}
    for request_id, kind, most, least in await databases.fetch(dsn, _LETTERS):
        letters.setdefault(request_id, {})[kind] = (most, least)
    copies = {row[0]: (row[1], row[2], row[3], row[4]) for row in await databases.fetch(dsn, _COPIES)}
    order = {(row[0], row[1]): row[2] for row in await databases.fetch(dsn, _IN_ORDER)}
    [swept] = map(tuple, await databases.fetch(dsn, _SWEPT))
    return Said(outcomes, closures, receipts, letters, copies, order, swept)


def _nights(said: int, gone: int, faults: int) -> Iterator[tuple[str, str]]:
    """Rows that are gone by night, and what we say: a fault may end one step between its end and its count."""
    if said > gone:
        yield "twice", f"{gone} rows are gone by night, {said} on record"
    elif said < gone - faults * PEOPLE_A_NIGHT:
        yield "lost", f"{gone} rows are gone by night, {said} on record"


def _judge(asked: Asked, ledger: Ledger, said: Said) -> Iterator[tuple[str, str]]:
    """Yields the violations of one request."""
    request_id = asked.request_id
    if request_id not in said.outcomes:
        yield "lost", "accepted, and not known"
        return
    outcome = said.outcomes[request_id]
    if outcome is None:
        yield "stuck", "not closed"
        return
    if (times := said.closures.get(request_id, 0)) != 1:
        yield "twice" if times else "lost", f"closed {times} times on record"
    ended = _ENDED.get(asked.wish, "fulfilled")
    if outcome != ended and (outcome, asked.wish in _WITHDRAWN) != ("withdrawn", True):
        yield "lost", f"closed as {outcome}"
    yield from _letters(said.letters.get(request_id, {}), asked.wish, withdrawn=outcome == "withdrawn")
    yield from _effects(asked, outcome, ledger, said)


def _effects(asked: Asked, outcome: str, ledger: Ledger, said: Said) -> Iterator[tuple[str, str]]:
    """Yields wrong or missing effects."""
    request_id, number = asked.request_id, asked.number
    changes = ledger.changes.get(number, [])
    match asked.wish:
        case Wish.ERASURE | Wish.WITHDRAWN | Wish.SEEN_FIRST:
            removed = {store: rows[number] for store, rows in ledger.removed.items()}
            if outcome == "fulfilled" and removed != ROWS:
                yield "lost", f"removed {removed}"
            yield from _receipts(said.receipts.get(request_id, Counter()), removed)
        case Wish.RECTIFICATION:
            yield from _changes(changes, ["rectified"])
        case Wish.RESTRICTION:
            yield from _changes(changes, ["restricted", "lifted"])
        case Wish.UNLIFTED:
            yield from _changes(changes, ["restricted"])
        case Wish.ACCESS if (copy := said.copies.get(request_id)) not in {_SHREDDED, _UNENDED}:
            yield "not shredded", f"fetched, removed, still there, may be continued: {copy}"
    seen, erased = said.order.get((asked.after or "", _DONE), _NEVER), said.order.get((request_id, _BEGUN), _NEVER)
    if asked.after and erased <= seen:
        yield "erased before it was seen", f"its access is {asked.after}"


def _letters(written: Mapping[str, tuple[int, int]], wish: Wish, *, withdrawn: bool) -> Iterator[tuple[str, str]]:
    """Yields letters that were sent twice or never.

    A withdrawal leads to one more answer for each system that was at work.
    """
    more = {"answer": len(ROWS)} if withdrawn else {}
    expected = {"acknowledgement", "answer", *(("update",) if wish is Wish.RESTRICTION else ())}
    for kind in sorted(expected | written.keys()):
        most, least = written.get(kind, (0, 0))
        if most > 1 + more.get(kind, 0):
            yield "twice", f"the letter {kind} was written {most} times"
        elif kind in expected and not least:
            yield "lost", f"the letter {kind} was written {least} times"


def _receipts(receipts: Counter[str], removed: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yields differences between a store's removals and the receipts; a withdrawn task reports nothing."""
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
    """Yields people whose data changed without a request for it."""
    removing = {Wish.ERASURE, Wish.WITHDRAWN, Wish.SEEN_FIRST}
    may_remove = {a.number for a in crowd.asked.values() if a.wish in removing}
    held = {a.number for a in crowd.asked.values() if a.wish is Wish.HELD}  # what a hold keeps is out of use
    stopped = {number for number, changes in ledger.changes.items() if "no marketing" in changes}
    changing = {Wish.RECTIFICATION, Wish.RESTRICTION, Wish.UNLIFTED}
    may_change = {a.number for a in crowd.asked.values() if a.wish in changing} | held
    yield from ledger.touched
    yield from sorted(stopped - held)
    yield from sorted(number for number in held if set(ledger.changes.get(number, ())) - {"restricted", "no marketing"})
    yield from sorted({number for rows in ledger.removed.values() for number in rows} - may_remove)
    yield from sorted(ledger.changes.keys() - may_change)
    assert all(number % BYSTANDER_EVERY for number in may_remove | may_change)
