"""A call record is not rewritten: what the person says of it stands beside it (Art. 16), as the next copy shows."""

import io
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deploy.demo.board import SubmittedRequest
from deploy.demo.client import DsrClient
from deploy.demo.finding import Section
from deploy.local import postgres_databases as databases
from services.export.files import DATA
from shared.domain.operations import Operation

_CATEGORY, _SAID = "call_record", "nobody spoke to me: it was a fax machine"
_ROWS = "SELECT c::text FROM acc_cdrs AS c WHERE start_time = $1 ORDER BY id"


async def statement(client: DsrClient, dsn: str, copied: SubmittedRequest) -> Section:
    """One of the calls of a copy is said to be wrong by whom it is about; they ask for another copy."""
    section = Section(f"A call record with its statement: {copied.part.person.name}")
    call = next(each for each in _calls(copied.package) if each.get("seconds"))
    known = {name: call[name] for name in ("started", "to")}
    began = datetime.fromisoformat(call["started"]).astimezone(UTC).replace(tzinfo=None)
    before = await databases.fetch(dsn, _ROWS, began)
    change = {"field": "seconds", "asserted": _SAID, "record": {"category": _CATEGORY, "fields": known}}
    asked = copied.part.submission
    stated = await client.submit({**asked, "right": "rectification", "changes": [change]})
    answered = await client.follow(stated, "closed")
    again = await client.submit(asked)
    await client.follow(again, "closed")
    with_statement = [each for each in _calls(await client.download(again, "package")) if each.get("statement")]
    section.say(str(answered["answer"]))
    section.say(*(f"  {each['started']} to {each['to']}: {each['statement']}" for each in with_statement))
    told = [task["operation"] for task in answered["tasks"] if task["system"] == "cdr"]
    beside = [each.items() >= known.items() and _SAID in each["statement"] for each in with_statement]
    done = answered["outcome"] == "fulfilled" and Operation.RECTIFY in told
    section.find(done and beside == [True], "the next copy shows it beside that call, and beside no other")
    section.find(await databases.fetch(dsn, _ROWS, began) == before != [], "the call itself is as the switch wrote it")
    return section


def _calls(package: bytes) -> list[Mapping[str, Any]]:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        rows = [json.loads(line) for line in archive.read(DATA).splitlines()]
    return [row["data"] for row in rows if row["category"] == _CATEGORY]
