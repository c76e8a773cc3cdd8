"""The history of a ticket shows a person what it said while it was theirs."""

import pytest

from shared.domain.release import WITHHELD
from shared.systems.contract import CopiedRecord
from shared.systems.roundup.copies import history
from shared.systems.roundup.tracker import HistoryRow

SUBJECT, OTHER, AGENT = "7", "8", "1"
AT = "2026-01-02.03:04:05"


def passed_on(classname: str, creator: str | None) -> list[CopiedRecord]:
    """Reads as the subject a record that named no owner, was edited, and then became theirs; the latest first."""
    owner, text = {"issue": ("requester", "title"), "query": ("private_for", "name")}[classname]
    said: list[HistoryRow] = [(AT, creator, False, "create", {})] if creator else []
    said += [(AT, creator or OTHER, False, "set", {text: "before"}), (AT, AGENT, True, "set", {owner: []})]
    return list(history("tickets", (classname, "3"), said, {SUBJECT}, ()))


@pytest.mark.parametrize("classname", ["issue", "query"])
@pytest.mark.parametrize("creator", [SUBJECT, OTHER, None])
def test_what_named_no_owner_was_its_creators(classname: str, creator: str | None) -> None:
    edited = passed_on(classname, creator)[1]
    assert list(edited.data["former"].values()) == ["before" if creator == SUBJECT else WITHHELD]  # type: ignore[union-attr]


def test_the_subject_has_provided_what_they_changed_themselves() -> None:
    assert [(row.data["changed_by"], row.portable) for row in passed_on("issue", SUBJECT)] == [
        ("service desk", False),
        ("you", True),
        ("you", True),
    ]
