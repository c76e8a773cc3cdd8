"""A golden message per type and version: what was once said on the bus can be read for ever, and means the same."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from shared.domain.events import EVENT_TYPES
from shared.downstreams.bus.messages import TaskReply, TaskRequested

GOLDEN = Path(__file__).parent / "golden"
MESSAGES: dict[str, type[BaseModel]] = {
    **EVENT_TYPES,
    "dsr.task.requested.v1": TaskRequested,
    "dsr.task.replied.v1": TaskReply,
}
FILES = sorted(GOLDEN.glob("*.json"))
"""A type may have more than one: what stands after the ``+`` of a name says what is particular about it."""


def content(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())  # type: ignore[no-any-return]


def test_every_type_and_version_has_a_golden_message() -> None:
    assert {file.stem.partition("+")[0] for file in FILES} == set(MESSAGES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_read_and_nothing_of_it_is_lost_or_changed(file: Path) -> None:
    message = MESSAGES[file.stem.partition("+")[0]].model_validate_json(file.read_bytes())
    read = json.loads(message.model_dump_json())
    assert _within(content(file.stem), read)


def _within(said: object, read: object) -> bool:
    """Whether all that was said is read; what a later version adds may stand beside it, at every depth."""
    match said, read:
        case dict(), dict():
            return all(name in read and _within(value, read[name]) for name, value in said.items())
        case list(), list():
            return len(said) == len(read) and all(map(_within, said, read))
        case _:
            return said == read


@pytest.mark.parametrize("name", MESSAGES)
def test_it_says_something_in_every_field(name: str) -> None:
    optional = {"failure", "outcome", "ground", "until", "package_id", "reason"}
    assert all(value is not None for field, value in content(name).items() if field not in optional)
    assert set(content(name)) <= set(MESSAGES[name].model_fields)
