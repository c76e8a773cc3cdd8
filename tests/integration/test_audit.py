"""Who has done what is found by request, holder, action and time; one case goes into one file that can be checked."""

import io
import zipfile
from datetime import timedelta
from typing import Any

import orjson
import pytest

from services.intake.api import audit
from shared.domain.operations import Operation
from shared.storage import certificate
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake, id_of


async def found(intake: Intake, **wanted: object) -> list[tuple[str, str | None]]:
    """What is found, page after page of two."""
    told: list[tuple[str, str | None]] = []
    after: dict[str, Any] = {}
    while True:
        params = {**wanted, **after}
        answer = (await intake.officer.get("/v1/audit", params=params)).raise_for_status().json()
        told += [(each["action"], each["holder"]) for each in answer["entries"]]
        if answer["after"] is None:
            return told
        after = {"after": answer["after"]}


async def test_entries_are_found_by_request_holder_action_and_time_a_page_at_a_time_and_the_search_is_on_record(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "ROWS", 2)
    path = await intake.submit()
    other = await intake.submit()
    before = intake.clock.now()
    intake.clock.pass_by(days=1)
    await intake.officer.get(f"{path}/letters")
    await intake.colleague.get(f"{other}/letters")
    until = intake.clock.now() + timedelta(seconds=1)
    intake.clock.pass_by(days=1)
    known = [action for action in await intake.actions(path) if action != "audit.searched"]
    by_request = await found(intake, request_id=id_of(path), until=until.isoformat())
    assert [action for action, _ in by_request] == known[::-1]
    assert await found(intake, holder="officer-2") == [("letters.read", "officer-2")]
    assert await found(intake, action="letters") == [("letters.read", "officer-2"), ("letters.read", "officer-1")]
    assert await found(intake, action="letters.read", request_id=id_of(path)) == [("letters.read", "officer-1")]
    assert await found(intake, holder="officer-1", action="letters") == [("letters.read", "officer-1")]
    lately = await found(intake, since=(before + timedelta(hours=1)).isoformat(), until=until.isoformat())
    assert lately == [("letters.read", "officer-2"), ("letters.read", "officer-1")]
    assert ("audit.searched", "officer-1") in await found(intake, action="audit")
    assert (await intake.officer.get("/v1/audit", params={"action": "nothing"})).status_code == 400
    for after in ("x", "0001-01-01T00:00:00+14:00~a~1", "2026-01-01T00:00:00+00:00~\0~1"):
        assert (await intake.officer.get("/v1/audit", params={"after": after})).status_code == 400, after
    assert (await intake.channel.get("/v1/audit")).status_code == 403


async def test_a_search_for_nobody_leaves_no_word_of_what_was_typed_in_the_evidence(intake: Intake) -> None:
    for typed in ("Erika Muster", "erika@example.org", "+4915112345678", "\0", "x" * 64, "Ünal"):
        assert (await intake.officer.get("/v1/audit", params={"holder": typed})).status_code == 400, typed
    for typed in ("erika.mustermann", "officer-2"):
        assert (await intake.officer.get("/v1/audit", params={"holder": typed})).status_code == 200
    since = {"since": "0001-01-01T00:00:00+14:00"}
    assert (await intake.officer.get("/v1/audit", params=since)).status_code in {200, 400, 422}
    rows = await intake.unit_of_work.pool.fetch("SELECT detail FROM evidence.entry WHERE action = 'audit.searched'")
    said = [orjson.loads(row["detail"]) for row in rows]
    assert {each["of"] for each in said} == {None, "officer-2"}
    assert sum(each.get("of_nobody", False) for each in said) == 1


async def test_the_file_of_a_case_has_all_that_was_done_and_a_certificate_that_holds_offline(intake: Intake) -> None:
    path = await intake.submit()
    await intake.complete(path, operation=Operation.EXPORT, tasks=(GIVEN,))
    assert (await intake.channel.get(f"{path}/case-file")).status_code == 403
    answer = await intake.officer.get(f"{path}/case-file")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    names = set(archive.namelist())
    assert names >= {"README.txt", "request.json", "timeline.json", "certificate.json", "receipts.json", "letters.json"}
    assert {"letters/01-acknowledgement.txt", "letters/02-completion.txt"} <= names
    held = orjson.loads(archive.read("certificate.json"))
    trusted = intake.unit_of_work.vault.keyring.signing.public_key().public_bytes_raw()
    assert certificate.verify(held, trusted) == []
    timeline = orjson.loads(archive.read("timeline.json"))
    assert [each["action"] for each in timeline] == [each["action"] for each in held["entries"]]
    [exported] = await intake.details(path, "case.exported")
    assert (exported["holder"], exported["letters"]) == ("officer-1", 2)
    assert "letters.read" in await intake.actions(path)
