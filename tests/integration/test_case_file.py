"""One case goes into one file that an outsider can check."""

import io
import zipfile

import orjson

from shared.domain.operations import Operation
from shared.storage import certificate
from tests.fixtures.handed_out import GIVEN
from tests.fixtures.intake import Intake


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
