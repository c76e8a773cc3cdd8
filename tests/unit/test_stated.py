"""A statement beside a record concerns the systems that hold such records, and asks nothing of the others."""

from types import SimpleNamespace
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from shared.domain.errors import NotSupported
from shared.domain.identities import IdentityType
from shared.domain.operations import Change, Operation, ShownRecord, TaskOutcome
from shared.downstreams.downstream import Downstream
from shared.fulfilment.stated import not_asked

CALL = ShownRecord(category="call_record", fields={"started": "1 May"})
STATED = (Change(field="seconds", asserted="20", record=CALL),)
CORRECTED = (Change(field="name", asserted="Ada"),)


def system(*held: str, **can: Any) -> Downstream:
    adapter: Any = SimpleNamespace(**can)
    return Downstream("s", frozenset({IdentityType.EMAIL}), adapter=adapter, categories=frozenset(held))


def asked(downstream: Downstream, changes: tuple[Change, ...], operation: Operation = Operation.RECTIFY) -> Any:
    return not_asked(downstream, operation, uuid7(), changes)


@pytest.mark.parametrize("held", [("account",), ()])
def test_a_system_without_such_records_is_not_searched_for_a_statement(held: tuple[str, ...]) -> None:
    assert asked(system(*held), STATED).outcome is TaskOutcome.NOT_HELD


def test_where_such_records_bear_no_statement_a_person_sees_to_it() -> None:
    assert isinstance(asked(system("call_record", stated=frozenset({"missed_call"})), STATED), NotSupported)


def test_a_system_whose_records_bear_statements_is_asked() -> None:
    assert asked(system("call_record", stated=frozenset({"call_record"})), STATED) is None


def test_where_nothing_is_corrected_nobody_is_searched_for_a_correction() -> None:
    assert asked(system("call_record", corrects=False), CORRECTED).outcome is TaskOutcome.NOT_HELD
    assert asked(system("account"), CORRECTED) is None
    assert asked(system("call_record", corrects=False), CORRECTED, Operation.RESTRICT) is None
