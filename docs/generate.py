"""Writes the documents of docs/ that follow from the code; a test keeps the committed ones from drifting."""

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import typer
import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from docs import codes, commands, reference
from services.intake import app
from shared import __version__
from shared.domain import topics
from shared.domain.events import EVENT_TYPES, Event, RequestStatus
from shared.domain.operations import FULFILLED_BY
from shared.domain.topics import TOPIC_ACCESS, ServiceName, Topic
from shared.domain.user_events import TYPES, UserEvent
from shared.messaging.dead_letters import REPLAYED_FOR
from shared.systems.bus.messages import TaskReply, TaskRequested

DOCS = Path(__file__).parent

_TOPIC_SUMMARIES = {
    Topic.REQUESTS: "What happens to a request, as intake decides it.",
    Topic.ERASURE_COMPLETIONS: "What came of the work on an erasure.",
    Topic.EXPORT_COMPLETIONS: "What came of the work on an access or portability request.",
    Topic.AMENDMENT_COMPLETIONS: "What came of the work on a request of any other right.",
    Topic.DEADLINES: "Which time limit of a request comes near or has passed.",
    Topic.NOTICES: "Letters to render and send, by id.",
    Topic.DELIVERIES: "What became of letters that went by e-mail.",
}
_ABOUT = """\
Events are facts in the past tense. They carry references, codes and counts, never personal data: not in values, keys,
headers or topic names. The key of every record is the request id, so the records of one request stay in order. Headers
follow the Kafka binding of CloudEvents 1.0 in binary content mode. A compatible change keeps the type; an incompatible
one adds a type with the next version. A record can come twice: `ce_id` tells.
"""


def asyncapi() -> str:
    """The contract of the bus, as AsyncAPI 3.0."""
    user_events = dict.fromkeys(TYPES.values())
    messages: list[type[BaseModel]] = [*EVENT_TYPES.values(), TaskRequested, TaskReply, RequestStatus, *user_events]
    _, schemas = models_json_schema(
        [(message, "validation") for message in messages], ref_template="#/components/schemas/{model}"
    )
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Data subject requests: the bus",
            "version": __version__,
            "description": " ".join(_ABOUT.split()),
        },
        "defaultContentType": "application/json",
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {
                **{message.__name__: _message(message) for message in messages},
                "RequestForgotten": _FORGOTTEN,
                "StructuredUserEvent": _structured(),
                "DeadLetter": _DEAD_LETTER,
            },
            "schemas": {
                **schemas["$defs"],
                "EventHeaders": _headers({**_CLOUD_EVENT, **_EVENT}),
                "TaskHeaders": _headers(_CLOUD_EVENT),
                "ReplyHeaders": _headers({}),
                "UserEventHeaders": _USER_EVENT,
            },
        },
    }
    plain = json.loads(json.dumps(document))  # neither enums nor references within the file
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)


def openapi() -> str:
    """The contract of the API, as OpenAPI 3.1."""
    return json.dumps(app.describe().openapi(), indent=2, ensure_ascii=False) + "\n"


def _channels() -> dict[str, Any]:
    channels: dict[str, Any] = {
        topic.name.lower(): {
            "address": topic.value,
            "description": description,
            "messages": _references(e.__name__ for e in EVENT_TYPES.values() if topic in e.topics.values()),
        }
        for topic, description in _TOPIC_SUMMARIES.items()
    }
    for name, address, description, message in (
        ("tasks", topics.tasks, "Tasks for a team that erases its own store.", TaskRequested),
        ("replies", topics.replies, "What that team answers.", TaskReply),
    ):
        channels[name] = {
            "address": address("{system}"),
            "description": description,
            "parameters": {"system": {"description": "The system's name in the downstreams file"}},
            "messages": _references([message.__name__]),
        }
    channels["deadLetters"] = {
        "address": topics.dead_letters("{service}"),  # type: ignore[arg-type]
        "description": "Records that a service could not handle, as they came.",
        "parameters": {"service": {"description": "Who could not handle it", "enum": list(ServiceName)}},
        "messages": _references(["DeadLetter"]),
    }
    for channel in channels.values():
        channel["bindings"] = {"kafka": {"topicConfiguration": {"retention.ms": topics.RETENTION_MS}}}
    channels["userEvents"] = {
        "address": topics.user_events("{emitter}"),
        "description": _USER_EVENTS,
        "parameters": {"emitter": {"description": "The emitter's name in the file of emitters"}},
        "messages": _references([*(event.__name__ for event in dict.fromkeys(TYPES.values())), "StructuredUserEvent"]),
        "bindings": {"kafka": {"topicConfiguration": {"retention.ms": topics.RETENTION_MS}}},
    }
    compacted = {"cleanup.policy": ["compact"], "delete.retention.ms": topics.TOMBSTONE_MS}
    channels["status"] = {
        "address": topics.STATUS,
        "description": "Where each request stands: the latest record of a key is the whole of it.",
        "messages": _references(["RequestStatus", "RequestForgotten"]),
        "bindings": {"kafka": {"topicConfiguration": compacted}},
    }
    return channels


def _operations() -> dict[str, Any]:
    operations = {}
    for topic, street in TOPIC_ACCESS.items():
        channel = _reference("channels", topic.name.lower())
        operations[f"{street.writer}.says.{topic.name.lower()}"] = {"action": "send", "channel": channel}
        for reader in sorted(street.readers):
            operations[f"{reader}.receives.{topic.name.lower()}"] = {"action": "receive", "channel": channel}
    tasks, replies, dead_letters = (_reference("channels", name) for name in ("tasks", "replies", "deadLetters"))
    for service in sorted(set(FULFILLED_BY.values())):
        operations[f"{service}.asks.teams"] = {"action": "send", "channel": tasks, "reply": {"channel": replies}}
    operations["intake.receives.emitters"] = {"action": "receive", "channel": _reference("channels", "userEvents")}
    operations["intake.tells.status"] = {"action": "send", "channel": _reference("channels", "status")}
    for service in ServiceName:
        operations[f"{service}.sets.aside"] = {"action": "send", "channel": dead_letters}
    return operations


def _references(messages: Iterable[str]) -> dict[str, Any]:
    return {message: _reference("components/messages", message) for message in messages}


def _reference(place: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/{place}/{name}"}


_KEYED = {"kafka": {"key": {"type": "string", "format": "uuid", "description": "The request id"}}}


def _message(message: type[BaseModel]) -> dict[str, Any]:
    summary, _, description = inspect.cleandoc(message.__doc__ or "").partition("\n\n")
    headers = "EventHeaders" if issubclass(message, Event | RequestStatus) else "TaskHeaders"
    if message is TaskReply:
        headers = "ReplyHeaders"
    if issubclass(message, UserEvent):
        return {
            "name": " | ".join(kind for kind, event in TYPES.items() if event is message),
            "title": message.__name__,
            "summary": " ".join(summary.split()),
            **({"description": description} if description else {}),
            "headers": {"$ref": "#/components/schemas/UserEventHeaders"},
            "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        }
    return {
        "name": message.model_fields["type"].default,
        "title": message.__name__,
        "summary": " ".join(summary.split()),
        **({"description": description} if description else {}),
        "headers": {"$ref": f"#/components/schemas/{headers}"},
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
        "bindings": _KEYED,
    }


_CLOUD_EVENT: dict[str, Any] = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {"type": "string", "format": "uuid", "description": "The same for every repeat of the same record"},
    "ce_type": {"type": "string"},
    "ce_source": {"type": "string", "pattern": "^/dsr/[a-z]+$"},
    "ce_time": {"type": "string", "format": "date-time"},
    "content-type": {"type": "string", "const": "application/json"},
}
_EVENT = {"ce_right": {"type": "string", "description": "The right that the request is about"}}


def _headers(required: Mapping[str, Any]) -> dict[str, Any]:
    optional = {
        "traceparent": {"type": "string", "description": "W3C Trace Context"},
        REPLAYED_FOR: {
            "type": "string",
            "enum": list(ServiceName),
            "description": "Of a dead letter that is sent again: the service that set it aside; no other reads it",
        },
    }
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


_USER_EVENTS = (
    "What another service tells of its users, in binary or structured content mode; only that service may write here."
    " A person is named by a token alone, for which identities were posted before (`POST /v1/subjects`)."
)
_USER_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_source", "ce_type"],
    "properties": {
        "ce_specversion": {"type": "string", "const": "1.0"},
        "ce_id": {"type": "string", "description": "The same for every repeat; says nothing of the person"},
        "ce_source": {"type": "string", "description": "Says nothing of the person"},
        "ce_type": {"type": "string", "enum": [*TYPES]},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it was sent; no business date"},
        "content-type": {"type": "string", "examples": ["application/json", "application/cloudevents+json"]},
    },
}
_FORGOTTEN = {
    "name": RequestStatus.model_fields["type"].default,
    "title": "RequestForgotten",
    "summary": "The records of the request have expired: a tombstone, without a value.",
    "headers": _headers({name: schema for name, schema in _CLOUD_EVENT.items() if name != "content-type"}),
    "payload": {"type": "null"},
    "bindings": _KEYED,
}


def _structured() -> dict[str, Any]:
    kinds = {event: [kind for kind, each in TYPES.items() if each is event] for event in dict.fromkeys(TYPES.values())}
    attributes = {name.removeprefix("ce_"): schema for name, schema in _USER_EVENT["properties"].items()}
    content_type = {"type": "string", "pattern": "^application/cloudevents\\+json"}
    return {
        "name": "user event in structured content mode",
        "title": "StructuredUserEvent",
        "summary": "Any of the other messages of the channel, whose headers are attributes of a JSON object.",
        "contentType": "application/cloudevents+json",
        "headers": {"type": "object", "required": ["content-type"], "properties": {"content-type": content_type}},
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "data"],
            "properties": {name: schema for name, schema in attributes.items() if name != "content-type"},
            "oneOf": [
                {"properties": {"type": {"enum": names}, "data": {"$ref": f"#/components/schemas/{event.__name__}"}}}
                for event, names in kinds.items()
            ],
        },
    }


_DEAD_LETTER = {
    "name": "dead letter",
    "title": "DeadLetter",
    "summary": "A record that could not be handled, with its own key, value and headers, and these more.",
    "headers": {
        "type": "object",
        "required": ["dsr_reason", "dsr_topic", "dsr_set_aside_at"],
        "properties": {
            "dsr_reason": {"type": "string", "description": "The name of what it broke"},
            "dsr_detail": {"type": "string", "description": "What is wrong with it, by field, without values"},
            "dsr_topic": {"type": "string", "description": "The topic on which it arrived"},
            "dsr_set_aside_at": {"type": "string", "format": "date-time", "description": "When it was set aside"},
        },
        "additionalProperties": True,
    },
    "payload": {},
}


def documents() -> dict[str, str]:
    """Returns each document by its path below docs/."""
    schemas = {f"schemas/{name}": json.dumps(schema, indent=2) + "\n" for name, schema in reference.schemas().items()}
    api = openapi()
    pages = {
        "plug-in/reference.md": reference.page(),
        "command-reference.md": commands.page(),
        "errors.md": codes.page(),
    }
    return {"asyncapi.yaml": asyncapi(), "openapi.json": api, **schemas, **pages}


def main() -> None:
    """Writes them all."""
    for name, content in documents().items():
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(content)
        typer.echo(f"wrote docs/{name}")


if __name__ == "__main__":
    main()
