"""The published contracts say what the code does, are valid, and point at nothing that is not there."""

import json
import re
from typing import Any

import httpx
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.applications import Starlette

from docs import generate
from services.intake.api import app
from services.intake.submission_schemas import Submission
from shared.domain.events import EVENT_TYPES
from shared.domain.rights import Right
from shared.domain.topics import TOPIC_ACCESS
from shared.messaging.admin import declared


@pytest.fixture(scope="module")
def bus() -> dict[str, Any]:
    return yaml.safe_load((generate.DOCS / "asyncapi.yaml").read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def api() -> dict[str, Any]:
    return json.loads((generate.DOCS / "openapi.json").read_text())  # type: ignore[no-any-return]


def test_the_published_documents_are_what_the_code_says() -> None:
    drifted = [name for name, said in generate.documents().items() if (generate.DOCS / name).read_text() != said]
    assert drifted == [], "the code has changed: run `make docs`"


def test_the_api_document_is_valid_openapi(api: dict[str, Any]) -> None:
    assert api["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(api).iter_errors()) == []


def test_a_client_made_from_the_api_document_can_authenticate_and_knows_every_problem(api: dict[str, Any]) -> None:
    operations = [operation for path in api["paths"].values() for operation in path.values()]
    assert all(operation["description"] and operation["tags"] for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    (scheme,) = api["components"]["securitySchemes"].items()
    assert (scheme[1]["type"], scheme[1]["scheme"]) == ("http", "bearer")
    for operation in operations:
        assert operation["security"] == [{scheme[0]: []}]
        assert not [p for p in operation.get("parameters", ()) if p["name"].lower() == "authorization"]
        assert {"401", "403", "422", "503"} <= set(operation["responses"])
        for status, answer in operation["responses"].items():
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            assert (answer["content"] == problem) is (status >= "4")


def test_the_api_document_shows_a_submission_for_each_right_and_what_a_replay_gets(api: dict[str, Any]) -> None:
    submit = api["paths"]["/v1/requests"]["post"]
    examples = submit["requestBody"]["content"]["application/json"]["examples"]
    assert [*examples] == [*Right]
    for example in examples.values():
        assert [*Submission.model_validate(example["value"]).subject.identities()]
    assert submit["responses"]["200"]["content"] == submit["responses"]["201"]["content"]
    described = json.dumps(api["components"]["schemas"])
    for what in ("`L3`: a person", "Numbers change hands", "`address.postal_code`"):
        assert what in described


def test_every_decision_names_the_version_that_it_is_made_for_and_is_answered_with_the_next(
    api: dict[str, Any],
) -> None:
    decisions = {path: each["post"] for path, each in api["paths"].items() if "{request_id}" in path and "post" in each}
    assert len(decisions) > 20
    for path, decision in decisions.items():
        required = {p["name"] for p in decision["parameters"] if p["in"] == "header" and p["required"]}
        assert required == {"If-Match"}, path
        assert "dry_run" in {p["name"] for p in decision["parameters"] if p["in"] == "query"}, path
        assert {"400", "404", "409", "412", "428"} <= set(decision["responses"]), path
        assert "ETag" in decision["responses"]["200"]["headers"], path
    assert "ETag" in api["paths"]["/v1/requests/{request_id}"]["get"]["responses"]["200"]["headers"]


async def test_the_page_about_the_api_loads_nothing_from_elsewhere() -> None:
    pages = Starlette(routes=app.documentation(app.describe()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(pages), base_url="http://intake") as client:
        page = (await client.get("/docs")).raise_for_status().text
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(loaded) == 3
        assert "//" not in page
        assert all([(await client.get(f"/{each}")).raise_for_status().content for each in loaded])


@pytest.mark.parametrize("document", ["bus", "api"])
def test_every_reference_leads_somewhere(document: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(document)
    found = re.findall(r'"\$ref": "([^"]+)"', json.dumps(root))
    assert len(found) > 10
    for reference in found:
        assert reference.startswith("#/"), reference
        place = root
        for step in reference[2:].split("/"):
            assert step.replace("~1", "/") in place, reference
            place = place[step.replace("~1", "/")]


def test_the_bus_document_names_every_topic_and_every_event(bus: dict[str, Any]) -> None:
    assert bus["asyncapi"] == "3.0.0"
    addresses = {channel["address"] for channel in bus["channels"].values()}
    templates = {
        "dsr.tasks.{system}",
        "dsr.tasks.{system}.replies",
        "dsr.dead-letters.{service}",
        "user.events.{emitter}",
    }
    assert addresses == templates | {name for name in declared(emitters=()) if "dead-letters" not in name}
    messages = [name for channel in bus["channels"].values() for name in channel["messages"]]
    assert {*messages} == {*bus["components"]["messages"]}
    assert {message["name"] for message in bus["components"]["messages"].values()} >= set(EVENT_TYPES)


def test_the_bus_document_says_who_writes_and_who_reads(bus: dict[str, Any]) -> None:
    for topic, access in TOPIC_ACCESS.items():
        writers = {name for name in bus["operations"] if name.endswith(f".says.{topic.name.lower()}")}
        readers = {name for name in bus["operations"] if name.endswith(f".hears.{topic.name.lower()}")}
        assert [name.partition(".")[0] for name in writers] == [access.writer]
        assert {name.partition(".")[0] for name in readers} == set(access.readers)


def test_every_message_is_explained_and_typed(bus: dict[str, Any]) -> None:
    for name, message in bus["components"]["messages"].items():
        assert message["summary"].endswith("."), name
        assert {"headers", "payload"} <= set(message), name


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (generate.DOCS / "threat-model.md").read_text()))
    written = "\n".join(path.read_text() for path in (generate.DOCS.parent / "tests").rglob("test_*.py"))
    assert len(named) > 20
    assert sorted(each for each in named if f"def {each}(" not in written) == []
