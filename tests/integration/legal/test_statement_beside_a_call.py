"""Art. 16 for a call: the record stays as the switch wrote it, and the next access shows what the person says of it."""

from datetime import UTC, datetime

from deploy.demo.seed.cdr import CdrStore
from shared.storage.keyring import Keyring
from tests.fixtures.cdr import ANNA, BORIS, LONG_AGO, SqlEngine, ask, call
from tests.fixtures.engine import OpenHarness
from tests.fixtures.intake import Intake
from tests.integration.legal.telephony import Holder, telephony

SAID = "I hung up after 20 seconds"


async def test_the_next_access_shows_the_call_with_its_statement_which_is_on_no_topic_and_in_no_letter(
    *,
    intake: Intake,
    open_harness: OpenHarness,
    database: str,
    keys: Keyring,
    cdr_store: CdrStore,
    calls: SqlEngine,
) -> None:
    intake.clock.at = datetime(2026, 5, 4, 9, tzinfo=UTC)
    await cdr_store.seed([call(ANNA, BORIS), call(ANNA, BORIS, "2026-04-01")])
    anna = Holder("anna@example.org", "C1", ANNA, LONG_AGO)
    about = {"category": "call_record", "fields": {"started": "2026-03-02T10:00:00+00:00", "to": BORIS}}
    stated = {"right": "rectification", "changes": [{"field": "seconds", "asserted": SAID, "record": about}]}
    async with telephony(intake, open_harness, database, keys, calls, anna) as company:
        subject = {"email": anna.email, "country": "DE"}
        rectified = await intake.submit(subject=subject, **stated)
        await company.work()
        answer = (await intake.channel.get(rectified)).json()
        accessed = await intake.submit(subject=subject)
        await company.work()
        files = await company.files(accessed)
        records = (await company.package(accessed))["records"]
        said = await company.said_anywhere()
        letters = [letter["body"].encode() for letter in await intake.letters(rectified)]
    assert answer["outcome"] == "fulfilled"
    assert "Your statement now stands beside it" in answer["answer"]
    data = [each["data"] for each in records if each["category"] == "call_record"]
    assert [each.get("statement") for each in sorted(data, key=lambda each: str(each["started"]))] == [
        f"seconds: {SAID} (2026-05-04)",
        None,
    ]
    for name in ("report.html", "call_record.csv"):
        assert SAID.encode() in files[name]
    assert "what you have stated about this record" in files["report.html"].decode()
    assert not [part for part in (*said, *letters) if SAID.encode() in part]
    assert await ask(cdr_store.admin, "SELECT DISTINCT duration FROM acc_cdrs") == [(120.0,)]
