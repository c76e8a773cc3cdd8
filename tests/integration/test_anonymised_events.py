"""Website events lose their people after fourteen months, and whoever tries finds nobody in them again."""

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from deploy.demo.company.model import Visit
from deploy.demo.seed.analytics import AnalyticsStore
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation, TaskOutcome
from shared.downstreams.sweepable import Swept
from tests.fixtures.analytics import counted, due, sweep, visit
from tests.fixtures.cdr import SqlEngine, ask
from tests.fixtures.downstream import task

PEOPLE = [f"{n:04}.browser-of-{n:04}" for n in range(30)]
LONER = PEOPLE[-1]
ANONYMISE = due("event", "event_time", "2025-09-01", "anonymise")
ROWS = "SELECT event_id, occurred_at, client_id, account_id, kind, page, country, device FROM event"


def history() -> list[Visit]:
    """Many look at the same pages; one has an account and looks at a page that nobody else does."""
    seen = [
        visit(day, who, page=page) for day in ("2025-08-11", "2025-08-12") for who in PEOPLE for page in ("/", "/help")
    ]
    seen += [visit("2025-08-12", LONER, "C100001", page="/help/moving-from-ie", country="IE")]
    seen += [visit("2026-08-12", LONER, "C100001", page="/prices")]
    return sorted(seen, key=attrgetter("occurred_at"))


async def rows(store: AnalyticsStore, *, anonymised: bool) -> list[tuple[Any, ...]]:
    """What an attacker with the whole table has."""
    sign = "<" if anonymised else ">="
    return await ask(store.admin, f"{ROWS} WHERE occurred_at {sign} '2025-09-01+00'")


async def test_nobody_is_found_again_in_what_was_anonymised(analytics_store: AnalyticsStore, events: SqlEngine) -> None:
    """The attacker has a copy of the table from before, the CRM, and knows on which day the loner has read what."""
    await analytics_store.seed(history())
    before = await rows(analytics_store, anonymised=True)
    assert await counted(events, ANONYMISE) == (121, 122)
    assert await sweep(events, ANONYMISE) == [Swept(121, 0)]
    after = await rows(analytics_store, anonymised=True)
    assert len(after) == len(before)
    # No key that joins with what others have noted, and nothing that singles out.
    assert {row[0] for row in before}.isdisjoint(row[0] for row in after)
    assert {row[2:4] for row in after} == {(None, None)}
    assert {row[1].isoformat() for row in after} == {"2025-08-01T00:00:00+00:00"}
    # Each combination that is left had at least ten people.
    assert fewest(before, after) >= 10
    assert "/help/moving-from-ie" not in str(after)
    assert "IE" not in str(after)
    # The later event keeps its person until its own day.
    assert [row[2] for row in await rows(analytics_store, anonymised=False)] == [LONER]
    assert await counted(events, ANONYMISE) == (0, 122)


def fewest(before: Sequence[tuple[Any, ...]], after: Sequence[tuple[Any, ...]]) -> int:
    """By how many people each combination of what is left may have been made; the rarest counts.

    What was emptied matches all that was in its place.
    """
    people: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    for row in after:
        told = row[4:]
        for old in before:
            if all(now is None or now == then for now, then in zip(told, old[4:], strict=True)):
                people[told].add(old[2])
    return min(map(len, people.values()))


async def test_an_erasure_finds_events_by_the_browser_or_the_account(
    analytics_store: AnalyticsStore, events: SqlEngine
) -> None:
    await analytics_store.seed(history())
    browser = Identity(IdentityType.CLIENT_ID, PEOPLE[0])
    account = Identity(IdentityType.ACCOUNT_ID, "C100001")
    done = [await events.receipt(task(Operation.ERASE, each)) for each in (browser, account)]
    assert [(each.outcome, each.found) for each in done] == [(TaskOutcome.ERASED, 4), (TaskOutcome.ERASED, 2)]
    left = await ask(analytics_store.admin, "SELECT count(*) FROM event WHERE client_id = $1", LONER)
    assert left == [(4,)]


async def test_what_was_anonymised_goes_at_its_end(analytics_store: AnalyticsStore, events: SqlEngine) -> None:
    await analytics_store.seed(history())
    await sweep(events, ANONYMISE)
    assert await sweep(events, due("event", "event_time", "2026-08-12")) == [Swept(121, 0)]
    assert len(await ask(analytics_store.admin, ROWS)) == 1
