"""The contract of the bus bites: a record that breaks docs/asyncapi.yaml is named, with what is wrong with it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import AsyncMock

import orjson
import pytest
import yaml
from jsonschema import Draft7Validator
from uuid_utils.compat import uuid7

from docs.generate import DOCS
from shared.domain.events import RequestWithdrawn
from shared.domain.rights import Right
from shared.domain.topics import Message, ServiceName, Topic
from shared.messaging import outbox
from shared.messaging.producer import BusAway, KafkaProducer
from shared.runtime.settings import KafkaSettings
from tests.fixtures import wire
from tests.fixtures.events import a
from tests.fixtures.user_events import binary, structured

GOOD = outbox.message(a(RequestWithdrawn, right=Right.ERASURE), ServiceName.INTAKE, None)
TOKEN = {"subject": str(uuid7())}


def saying(record: Message, **fields: object) -> Message:
    return replace(record, value=orjson.dumps({**orjson.loads(record.value), **fields}))


def telling(record: Message, **headers: str) -> Message:
    return replace(record, headers={**record.headers, **headers})


@pytest.mark.parametrize(
    "record",
    [
        GOOD,
        telling(GOOD, dsr_replayed_for="erasure"),
        binary("selfcare", "user.requested.access", TOKEN),
        structured("selfcare", "user.requested.access", TOKEN),
        Message("elsewhere", b"", b"anything"),
        Message(Topic.REQUESTS, b"", b"junk", wire.JUNK),
    ],
)
def test_a_record_as_the_document_says_is_taken(record: Message) -> None:
    assert wire.contract().breach(record) is None


@pytest.mark.parametrize(
    ("record", "wrong"),
    [
        (replace(GOOD, topic="dsr.unheard-of"), "no such channel"),
        (replace(GOOD, topic="dsr.dead-letters.billing"), "no such channel"),
        (replace(GOOD, topic=Topic.DELIVERIES), "is a dsr.request.withdrawn.v1"),
        (telling(GOOD, ce_type="dsr.request.withdrawn.v2"), "is a dsr.request.withdrawn.v2"),
        (replace(GOOD, key=b"ada"), 'key: "ada" is not a "uuid"'),
        (replace(GOOD, value=b"{"), "its content is no JSON"),
        (replace(GOOD, value=b""), "is a dsr.request.withdrawn.v1"),
        (telling(GOOD, ce_time="2026-03-02T09:00:00"), "headers.ce_time"),
        (telling(GOOD, ce_source="/selfcare"), "headers.ce_source"),
        (telling(GOOD, subject="ada"), "headers: Additional properties"),
        (replace(GOOD, headers={"ce_type": GOOD.headers["ce_type"]}), 'headers: "ce_specversion" is a required'),
        (saying(GOOD, email="ada@example.org"), "payload: Additional properties"),
        (saying(GOOD, right="oblivion"), "payload.right"),
        (saying(GOOD, occurred_at="yesterday"), "payload.occurred_at"),
        (binary("selfcare", "user.requested.oblivion", TOKEN), "is a user.requested.oblivion"),
        (binary("selfcare", "number.ported", TOKEN), 'payload: "direction" is a required property'),
        (structured("selfcare", "number.ported", TOKEN), "payload: "),
    ],
)
def test_a_record_that_breaks_the_contract_is_named_with_what_is_wrong(record: Message, wrong: str) -> None:
    assert wrong in str(wire.contract().breach(record))


async def test_what_is_written_to_an_outbox_or_sent_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    breaches: list[str] = []
    monkeypatch.setattr(wire, "_breaches", breaches)
    await outbox.insert(AsyncMock(), [GOOD, replace(GOOD, key=b"ada")])
    with pytest.raises(BusAway):
        await KafkaProducer(KafkaSettings(bootstrap="127.0.0.1:1")).send([replace(GOOD, key=b"bob")])
    assert ['"ada"' in breaches[0], '"bob"' in breaches[1]] == [True, True]


# The form of an AsyncAPI 3.0 document, as far as it matters here: its official schema is in no package of Python.
REFERENCE = {"type": "object", "required": ["$ref"], "properties": {"$ref": {"pattern": "^#/"}}, "maxProperties": 1}
TEXT = {"type": "string", "minLength": 1}


def form(required: str, optional: str = "", **properties: Any) -> dict[str, Any]:
    """An object with these fields and no other."""
    names = [*required.split(), *optional.split()]
    fields = {name: properties.get(name, True) for name in names}
    return {"type": "object", "required": required.split(), "properties": fields, "additionalProperties": False}


def each(schema: dict[str, Any]) -> dict[str, Any]:
    """An object of named things of one form."""
    return {"type": "object", "propertyNames": {"pattern": r"^[\w.-]+$"}, "additionalProperties": schema}


ACTION = {"enum": ["send", "receive"]}
DOCUMENT = form(
    "asyncapi info channels operations components defaultContentType",
    asyncapi={"const": "3.0.0"},
    info=form("title version description"),
    channels=each(form("address description messages bindings", "parameters", messages=each(REFERENCE))),
    operations=each(form("action channel", "reply", action=ACTION, channel=REFERENCE, reply=form("channel"))),
    components=form(
        "messages schemas",
        messages=each(
            form("name title summary headers payload", "description contentType bindings", name=TEXT, summary=TEXT)
        ),
        schemas=each({"$ref": "http://json-schema.org/draft-07/schema#"}),
    ),
)
LATER = {"$defs", "prefixItems", "unevaluatedProperties", "unevaluatedItems", "dependentRequired", "minContains"}
"""Keywords of later drafts, which a reader of AsyncAPI 3.0 passes over in silence."""


@pytest.fixture(scope="module")
def bus() -> dict[str, Any]:
    return yaml.safe_load((DOCS / "asyncapi.yaml").read_text())  # type: ignore[no-any-return]


def test_the_document_has_the_form_of_asyncapi_3(bus: dict[str, Any]) -> None:
    assert [f"{error.json_path}: {error.message}" for error in Draft7Validator(DOCUMENT).iter_errors(bus)] == []


def test_the_parameters_of_a_channel_are_those_of_its_address(bus: dict[str, Any]) -> None:
    for channel in bus["channels"].values():
        assert all(f"{{{name}}}" in channel["address"] for name in channel.get("parameters", {}))
        assert channel["address"].count("{") == len(channel.get("parameters", {}))


@pytest.mark.parametrize("part", ["headers", "payload"])
def test_every_schema_is_one_of_draft_7(part: str) -> None:
    def keywords(schema: Any, visit: Callable[[str], None]) -> None:
        for name, inner in schema.items() if isinstance(schema, dict) else ():
            visit(name)
            keywords(inner, visit)

    for message in wire.contract().messages.values():
        found: set[str] = set()
        keywords(message[part], found.add)
        Draft7Validator.check_schema(message[part])
        assert found & LATER == set()
        assert part == "payload" or message[part]["type"] == "object"
