"""Scenario 6: a caller withheld their number, and it was stored; nowhere in what the called person gets is it."""

import logging
from datetime import UTC, datetime

import pytest

from deploy.demo.seed.cdr import CdrStore
from shared.storage.keyring import Keyring
from tests.fixtures.cdr import ANNA, BORIS, CHIARA, LONG_AGO, SqlEngine, ask, call, forms_of
from tests.fixtures.engine import OpenHarness
from tests.fixtures.intake import Intake
from tests.integration.legal.telephony import Holder, telephony


async def test_the_called_person_reads_withheld_and_no_file_topic_letter_or_log_has_the_number_in_any_form(
    *,
    intake: Intake,
    open_harness: OpenHarness,
    database: str,
    keys: Keyring,
    cdr_store: CdrStore,
    calls: SqlEngine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    intake.clock.at = datetime(2026, 5, 4, 9, tzinfo=UTC)
    await cdr_store.seed([call(ANNA, BORIS, pai=ANNA), call(CHIARA, BORIS)])
    stored = "SELECT count(*) FROM acc_cdrs WHERE pai LIKE '%' || $1 || '%'"
    assert await ask(cdr_store.admin, stored, ANNA) == [(1,)]
    called = Holder("boris@example.org", "C3", BORIS, LONG_AGO)
    async with telephony(intake, open_harness, database, keys, calls, called) as company:
        path = await intake.submit(subject={"email": called.email, "country": "DE"})
        await company.work()
        files = await company.files(path)
        taken = await intake.submit(right="portability", subject={"email": called.email, "country": "DE"})
        await company.work()
        elsewhere = await company.files(taken)
        records = (await company.package(path))["records"]
        said = await company.said_anywhere()
        letters = [letter["body"].encode() for each in (path, taken) for letter in await intake.letters(each)]
    shown = [each["data"]["from"] for each in records if each["category"] == "call_record"]
    assert sorted(shown) == [CHIARA, "withheld"]
    assert {"report.html", "call_record.csv", "data.jsonl", "request.jsonl"} <= files.keys()
    assert {"schema.json", "call_record.csv"} <= elsewhere.keys()
    assert letters
    assert said
    names = [name.encode() for name in files]
    content = b"".join([*files.values(), *elsewhere.values(), *names, *letters, *said, caplog.text.encode()])
    assert not [form for form in forms_of(ANNA) if form in content]
    assert [form for form in forms_of(CHIARA) if form in content], "the search finds what is there"
