"""Who is told that a contact point was corrected: the one in whose place another came, and nobody else."""

from dataclasses import replace
from datetime import UTC, datetime

from uuid_utils.compat import uuid7

from services.intake.letters.old_contacts import corrects, old_points
from services.intake.request.lifecycle import State
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change, TaskReport
from shared.domain.rights import Right
from shared.storage.subject_data import SubjectData
from tests.fixtures.requests import a_request

NOW = datetime(2026, 3, 5, 9, tzinfo=UTC)
EMAIL = Identity(IdentityType.EMAIL, "ada@example.org", level="L2")
FORMER = Identity(IdentityType.PHONE, "+4930111111", None, datetime(2025, 1, 1, tzinfo=UTC), level="L2")
PHONE = Identity(IdentityType.PHONE, "+4930222222", datetime(2025, 1, 1, tzinfo=UTC), level="L2")
CLAIMED = Identity(IdentityType.PHONE, "+4930444444")


def told(*changes: Change) -> list[str]:
    return old_points(SubjectData((EMAIL, FORMER, PHONE, CLAIMED), changes), NOW)


def test_the_old_address_is_told_and_not_the_new_one() -> None:
    assert told(Change(field="email", asserted="Ada@Example.net")) == ["ada@example.org"]
    assert told(Change(field="email", current="old@example.org", asserted="ada@example.org")) == ["old@example.org"]
    assert told(Change(field="email", asserted="ADA@example.org")) == []


def test_a_number_that_was_the_subject_s_once_or_that_they_only_claim_is_not_told() -> None:
    assert told(Change(field="phone", asserted="+49 30 333333")) == ["+4930222222"]


def test_what_reaches_nobody_has_no_old_contact() -> None:
    assert told(Change(field="name", asserted="Ada Lovelace"), Change(field="address.city", asserted="Bonn")) == []


def test_nobody_is_told_of_what_was_not_corrected() -> None:
    report = TaskReport(task_id=uuid7(), system="crm", operation="rectify", outcome="amended", changed=1)
    closed = a_request(State.CLOSED, right=Right.RECTIFICATION, tasks=(report,))
    assert corrects(closed)
    assert not corrects(replace(closed, tasks=(report.model_copy(update={"changed": 0}),)))
    assert not corrects(replace(closed, right=Right.ACCESS))
    assert not corrects(replace(closed, tasks=None))
