"""Of the words on a person's ticket their own are theirs and those of the staff, and never a third person's."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from shared.downstreams.roundup import directory
from shared.downstreams.roundup.tracker import Item, Tracker

ADA, BEN, AGENT = "1", "2", "3"
PEOPLE = (ADA, BEN, AGENT)
ROLES = {ADA: "", BEN: "Customer", AGENT: "User, Agent"}


class PlainTracker:
    """A tracker without our routes: Ada's one ticket with messages and files, by id, and whoever wrote them."""

    staff_roles = ("Agent",)
    is_staff = Tracker.is_staff
    system = "ticketing"

    def __init__(self, messages: Sequence[tuple[str, frozenset[int]]], uploaders: Sequence[str]) -> None:
        self.messages = {
            str(n): {"id": str(n), "author": who, "creator": who, "files": [str(f) for f in sorted(files)]}
            for n, (who, files) in enumerate(messages, 1)
        }
        self.files = {str(n): {"id": str(n), "creator": who} for n, who in enumerate(uploaders, 1)}

    async def privacy(self, *_: object) -> None:
        return None

    async def search_links(self, classname: str, _fields: str, key: str, ids: Iterable[str]) -> Sequence[Item]:
        ticket: Item = {"id": "1", "requester": ADA, "messages": [*self.messages], "files": [*self.files]}
        users: dict[str, Item] = {one: {"id": one, "roles": roles} for one, roles in ROLES.items()}
        held: dict[str, Any] = {"issue": {"1": ticket}, "msg": self.messages, "file": self.files, "user": users}
        wanted = set(ids)
        return [item for item in held.get(classname, {}).values() if item[key] in wanted]

    def writers(self, file: str) -> set[str]:
        carried = {message["author"] for message in self.messages.values() if file in message["files"]}
        return cast("set[str]", carried) or {self.files[file]["creator"]}


_who = st.sampled_from(PEOPLE)


@given(
    messages=st.lists(st.tuples(_who, st.frozensets(st.integers(1, 3), max_size=2)), max_size=4),
    uploaders=st.lists(_who, min_size=3, max_size=3),
)
def test_what_is_on_a_ticket_is_its_requesters_or_a_third_persons_and_never_both(
    messages: list[tuple[str, frozenset[int]]], uploaders: list[str]
) -> None:
    plain = PlainTracker(messages, uploaders)

    async def both() -> tuple[directory.Records, directory.Records]:
        tracker = cast("Tracker", plain)
        return (await directory.records(tracker, [ADA]))[ADA], (await directory.others(tracker, [ADA]))[ADA]

    theirs, of_third = asyncio.run(both())
    third = {one for one, message in plain.messages.items() if message["author"] == BEN}
    assert (set(theirs["msg"]), set(of_third["msg"])) == (set(plain.messages) - third, third)
    uploaded = {file for file in plain.files if plain.files[file]["creator"] == ADA}
    sent = {file for message in plain.messages.values() if message["author"] == ADA for file in message["files"]}
    papers = {file for file in plain.files if BEN in plain.writers(file)}
    assert set(of_third["file"]) == papers
    assert set(theirs["file"]) == set(plain.files) - papers | uploaded | sent
