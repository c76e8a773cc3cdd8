"""An open access loses nothing to the nightly sweep, which waits for none: what it asks for is copied before."""

from datetime import UTC, datetime, timedelta

from deploy.demo.seed.cdr import CdrStore
from shared.storage.keyring import Keyring
from tests.fixtures.analytics import due, sweep
from tests.fixtures.cdr import ANNA, BORIS, LONG_AGO, SqlEngine, ask, call
from tests.fixtures.engine import OpenHarness
from tests.fixtures.intake import Intake, id_of
from tests.integration.legal.telephony import Holder, telephony

RECEIVED = datetime(2026, 5, 4, 22, tzinfo=UTC)
SWEPT = datetime(2026, 5, 5, 1, tzinfo=UTC)


async def test_what_goes_in_the_night_after_an_access_was_asked_for_is_in_its_copy_within_five_days_of_receipt(
    *,
    intake: Intake,
    open_harness: OpenHarness,
    database: str,
    keys: Keyring,
    cdr_store: CdrStore,
    calls: SqlEngine,
) -> None:
    intake.clock.at = RECEIVED
    await cdr_store.seed([call(ANNA, BORIS, "2024-11-04"), call(ANNA, BORIS, "2026-04-01")])
    anna = Holder("anna@example.org", "C1", ANNA, LONG_AGO)
    async with telephony(intake, open_harness, database, keys, calls, anna) as company:
        path = await intake.submit(subject={"email": anna.email, "country": "DE"})
        await company.work()
        intake.clock.at = SWEPT
        [swept] = await sweep(calls, due("acc_cdrs", "call_start", "2024-11-05"))
        records = (await company.package(path))["records"]
        later = await intake.submit(subject={"email": anna.email, "country": "DE"})
        await company.work()
        left = (await company.package(later))["records"]
    assert await ask(cdr_store.admin, "SELECT count(*) FROM acc_cdrs") == [(1,)], "the sweep waits for nobody"
    assert getattr(swept, "gone", None) == 1
    days = [
        [str(r["data"]["started"])[:10] for r in each if r["category"] == "call_record"] for each in (records, left)
    ]
    assert [sorted(each) for each in days] == [["2024-11-04", "2026-04-01"], ["2026-04-01"]]
    built = "SELECT at FROM evidence.entry WHERE request_id = $1 AND action = 'package.built'"
    copied = await intake.unit_of_work.pool.fetchval(built, id_of(path))
    assert copied < SWEPT
    assert copied - RECEIVED < timedelta(days=5)
