"""Events: what is said on the bus, by reference only."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from uuid_utils.compat import uuid7

from shared.domain.errors import Misconfigured
from shared.domain.events import EVENT_TYPES, Event, RequestVerified, RequestWithdrawn, type_of
from shared.domain.rights import Right
from shared.domain.topics import TOPIC_ACCESS, ServiceName, Topic
from shared.domain.user_events import NUMBERS, TYPES, read_emitters
from shared.messaging.outbox import message
from tests.fixtures.events import AT, a

TYPED = ("Ada Lovelace", "Ada", "ada@example.com", "+4930123456", "sip:ada@example.com", "she said so", "Straße 1")
WRITTEN_BY_US = {
    "sentence": "our own words, with names and numbers of the downstreams file: test_failures.py looks at each of them",
    "zones": "keys of the time zone database",
}
IDENTIFYING = {"name", "email", "phone", "number", "address", "identities", "value", "statement", "ip"}


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=list(EVENT_TYPES))
def test_an_event_has_a_versioned_type_a_topic_and_a_sentence(event: type[Event]) -> None:
    assert type_of(event).startswith("dsr.")
    assert type_of(event).rpartition(".v")[2].isdigit()
    assert event.topics.keys() == set(Right)
    assert TOPIC_ACCESS.keys() >= set(event.topics.values())
    assert event.__doc__
    assert event.__doc__.rstrip().endswith(".")


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=list(EVENT_TYPES))
def test_no_field_of_an_event_could_say_who_it_is_about(event: type[Event]) -> None:
    assert not IDENTIFYING & set(event.model_fields)


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=list(EVENT_TYPES))
def test_no_field_of_an_event_takes_free_text(event: type[Event]) -> None:
    schema = event.model_json_schema()
    free = {path for path, text in texts(schema, schema["$defs"], ()) if takes_free_text(text)}
    assert {path[-1] for path in free} <= WRITTEN_BY_US.keys(), free


def texts(
    schema: dict[str, Any], named: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yields every text in an event, including keys, with its path."""
    if reference := schema.get("$ref"):
        yield from texts(named[reference.rpartition("/")[2]], named, path)
    for each in (*schema.get("anyOf", ()), *schema.get("prefixItems", ()), *filter(None, [schema.get("items")])):
        yield from texts(each, named, path)
    for name, each in schema.get("properties", {}).items():
        yield from texts(each, named, (*path, name))
    if schema.get("type") == "string":
        yield path, schema
    if schema.get("type") == "object" and "properties" not in schema:
        (keys,) = schema["patternProperties"]
        yield (*path, "(key)"), {"pattern": keys}
        yield from texts(schema["patternProperties"][keys], named, path)


def takes_free_text(schema: dict[str, Any]) -> bool:
    """Whether it accepts text other than our own words, IDs and times."""
    if "enum" in schema or "const" in schema or schema.get("format") in {"uuid", "date", "date-time"}:
        return False
    return any(re.search(schema.get("pattern", ""), typed) for typed in TYPED)


def test_every_topic_carries_an_event() -> None:
    assert {topic for event in EVENT_TYPES.values() for topic in event.topics.values()} == set(Topic)


@dataclass
class Asked:
    """The request of an event."""

    request_id: UUID
    subject_ref: UUID
    right: Right = Right.ACCESS
    scope: str = "direct_marketing"


def test_an_event_about_a_request_says_what_the_request_says_and_names_its_subject() -> None:
    request = Asked(uuid7(), uuid7())
    verified = RequestVerified.about(request, due_on=date(2026, 4, 1))
    assert (verified.request_id, verified.subject) == (request.request_id, request.subject_ref)
    shown = (verified.right, verified.scope, verified.due_on)
    assert shown == (Right.ACCESS, "direct_marketing", date(2026, 4, 1))
    with pytest.raises(ValidationError):
        RequestVerified.about(request)


def test_what_a_later_version_adds_is_overlooked() -> None:
    said = a(RequestWithdrawn)
    later = said.model_dump_json()[:-1] + ',"reason":"changed_mind"}'
    assert RequestWithdrawn.model_validate_json(later) == said


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize(
    ("traceparent", "sent"),
    [
        (TRACE, True),
        (None, False),
        ("", False),
        (TRACE.upper(), False),
        (TRACE + "\n", False),
        (TRACE + "-more", False),
        ("ada@example.org", False),
        ("0" * 2_200_000, False),
    ],
    ids=["whole", "none", "empty", "upper", "line", "longer", "an address", "2.2 MB"],
)
def test_malformed_traceparent_is_not_passed_on(traceparent: str | None, sent: bool) -> None:  # noqa: FBT001
    headers = message(a(RequestWithdrawn), ServiceName.INTAKE, traceparent).headers
    assert headers.get("traceparent") == (traceparent if sent else None)


def test_an_event_cannot_be_changed_and_has_a_time_zone() -> None:
    said = a(RequestWithdrawn)
    with pytest.raises(ValidationError):
        said.request_id = UUID(int=0)  # type: ignore[misc]
    with pytest.raises(ValidationError):
        a(RequestWithdrawn, occurred_at=AT.replace(tzinfo=None))


# The file of emitters is checked when it is read: what is wrong in it is said with the place and the mend.
ASKING = 'types = ["user.requested"]\nrights = ["access"]\n'
NUMBERED = 'types = ["number.assigned"]\nauthoritative = "crm"\n'


def test_the_file_that_ships_lets_every_type_be_said_by_one_of_its_emitters() -> None:
    emitters = read_emitters()
    assert {kind for kind in TYPES if any(each.may_say(kind) for each in emitters.values())} == set(TYPES)
    assert [name for name, each in emitters.items() if any(map(each.may_say, NUMBERS))] == ["numbering"]


def test_an_emitter_asks_for_the_rights_that_are_written_and_no_other(tmp_path: Path) -> None:
    emitter = read_emitters(_written(tmp_path, f"[shop]\n{ASKING}"))["shop"]
    assert [right for right in Right if emitter.may_say(f"user.requested.{right}")] == [Right.ACCESS]
    assert not emitter.may_say("user.requested")
    assert not emitter.may_say("user.account_closed")


def _written(tmp_path: Path, content: str) -> Path:
    path = tmp_path / "emitters.toml"
    path.write_text(content)
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[shop]\ntypes = ["user.request"]\n', "shop: types names 'user.request': did you mean user.requested?"),
        (f"[shop]\n{ASKING}levle = 'L1'\n", ": shop.levle: is no key here; write level"),
        (f"[shop]\n{ASKING}level = 'L7'\n", "shop.level: holds 'L7': Input should be 'L0', 'L1', 'L2' or 'L3'"),
        ('[shop]\ntypes = ["user.requested"]\n', 'shop: rights belong to "user.requested"'),
        ('[shop]\ntypes = ["user.account_closed"]\nrights = ["access"]\n', 'shop: rights belong to "user.requested"'),
        ('[shop]\ntypes = ["number.ported"]\n', "shop: authoritative belongs to number.assigned, "),
        (f'[shop]\n{ASKING}authoritative = "crm"\n', "shop: authoritative belongs to number.assigned, "),
        ('[shop]\ntypes = ["user.account_closed"]\ntenant = "acme"\n', "shop: a tenant's emitter only asks"),
        (f"[a]\n{NUMBERED}[b]\n{NUMBERED}", "a and b are both authoritative: one emitter says whose a number is"),
        (f"[Shop]\n{ASKING}", "Shop"),
        ("[shop]\n", "shop.types: is missing; write it"),
        ("shop = 1\n", "shop: holds 1: Input should be"),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place_and_the_mend(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(Misconfigured) as error:
        read_emitters(_written(tmp_path, content))
    assert said in str(error.value)


def test_all_mistakes_are_named_together(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"one.types: .*; .*two: "):
        read_emitters(_written(tmp_path, '[one]\ntypes = []\n[two]\ntypes = ["x"]\n'))
