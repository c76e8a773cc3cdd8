"""The company's people and tickets in a real tracker: they arrive whole, and come back in a moment."""

from base64 import b64decode
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from deploy.demo.company import Company, Size, found
from deploy.demo.seed.tickets import Record, people, tickets
from deploy.local.roundup import Roundup
from shared.domain.operations import Operation
from tests.fixtures.downstream import email, name, task
from tests.fixtures.roundup import worked


def records(company: Company) -> Iterator[Record]:
    """Everything that a tracker holds of the company."""
    return chain(people(company.customers), tickets(company.tickets))


async def test_restored_tracker_has_all_tickets_and_an_erasure_keeps_the_copy(run_folder: Path) -> None:
    company = found(Size(customers=60, calls=0, tickets=120))
    asked = next(part.person for part in company.cast if part.person.emails and part.person.code)
    theirs = [ticket for ticket in company.tickets if ticket.requester_code == asked.code]
    known, taken = (email(asked.emails[0]), name(asked.name)), list[int]()
    Roundup(run_folder / "roundup-loaded").load(records(company), loaded=taken.append)
    first, second = Roundup(run_folder / "roundup-first"), Roundup(run_folder / "roundup-second")
    for tracker in (first, second):  # the second comes out of what was kept
        tracker.load(records(company), keep=True)
    async with worked(first) as erased, worked(second) as restored:
        export = await restored.receipt(task(Operation.EXPORT, *known))
        await erased.receipt(task(Operation.ERASE, *known))
        assert erased.holds(asked.emails[0]) == []
        assert restored.holds(asked.emails[0])
    assert taken[-1] == len(company.customers) + len(company.tickets)
    told = {
        kind: [record.data for record in export.records if record.category == kind]
        for kind in ("ticket", "message", "file")
    }
    texts = {message["content"] for message in told["message"]}
    files = {(file["name"], b64decode(str(file["content_base64"]))) for file in told["file"]}
    assert {ticket["title"] for ticket in told["ticket"]} == {ticket.title for ticket in theirs}
    assert texts == {message.text for ticket in theirs for message in ticket.messages}
    assert files == {(file.file_name, file.content) for ticket in theirs for file in ticket.attachments}
    assert files
