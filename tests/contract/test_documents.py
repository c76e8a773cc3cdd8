"""The published contracts say what the code does, are valid, and point at nothing that is not there."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel
from starlette.applications import Starlette

from deploy.local.paths import ROOT
from docs import generate
from services.intake import app
from services.intake.api.actions import registered
from services.intake.api.problems import STATUS
from services.intake.submission.schemas import Submission
from shared.domain.events import EVENT_TYPES, RequestStatus
from shared.domain.rights import Right
from shared.domain.topics import TOPIC_ACCESS
from shared.domain.user_events import KINDS
from shared.messaging.admin import declared
from shared.systems.bus.messages import TaskReply, TaskRequested
from tests.fixtures.wire import contract


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


def test_each_decision_names_its_version_and_returns_the_next(api: dict[str, Any]) -> None:
    path = "/v1/{kind}/{id}/actions/{action}"
    decision = api["paths"][path]["post"]
    required = {p["name"] for p in decision["parameters"] if p["in"] == "header" and p["required"]}
    assert required == {"If-Match"}
    assert "dry_run" in {p["name"] for p in decision["parameters"] if p["in"] == "query"}
    assert {"400", "404", "409", "412", "428"} <= set(decision["responses"])
    assert "ETag" in decision["responses"]["200"]["headers"]
    known = {f"{each.kind}/{each.name}" for each, _ in registered()}
    examples = {**decision["requestBody"]["content"]["application/json"]["examples"]}
    examples |= api["paths"]["/v1/{kind}"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert {*examples} == known, "every action has an example"
    for each, body in registered():
        body.model_validate(examples[f"{each.kind}/{each.name}"]["value"])
    assert "ETag" in api["paths"]["/v1/requests/{request_id}"]["get"]["responses"]["200"]["headers"]


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields each operation with its method and path."""
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def answered(operation: dict[str, Any]) -> dict[str, Any]:
    """The success of an operation."""
    return next(answer for status, answer in sorted(operation["responses"].items()) if status < "3")


def is_list(api: dict[str, Any], operation: dict[str, Any]) -> bool:
    """Whether an operation answers a list."""
    reference = answered(operation)["content"].get("application/json", {}).get("schema", {}).get("$ref", "")
    return "data" in api["components"]["schemas"].get(reference.rpartition("/")[2], {}).get("properties", {})


def test_every_list_is_a_page_with_limit_and_cursor(api: dict[str, Any]) -> None:
    lists = [(method, path, each) for method, path, each in operations(api) if is_list(api, each)]
    assert len(lists) > 8
    for method, path, each in lists:
        name = answered(each)["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        assert {*api["components"]["schemas"][name]["properties"]} == {"data", "next_cursor"}, path
        if method == "get":
            assert {"limit", "cursor"} <= {parameter["name"] for parameter in each["parameters"]}, path
    paths = {path for _, path, each in lists}
    for path in (each for each in api["paths"] if "get" in api["paths"][each] and f"{each}/" not in paths):
        collection = any(other.startswith(f"{path}/{{") for other in api["paths"])
        assert not collection or path in paths, f"{path} lists what has an id, and is no page"


def test_no_get_changes_anything_or_waits(api: dict[str, Any]) -> None:
    for method, path, each in operations(api):
        assert method != "get" or {"201", "202"}.isdisjoint(each["responses"]), path


def test_every_201_says_where_the_new_thing_is(api: dict[str, Any]) -> None:
    created = [each for _, _, each in operations(api) if "201" in each["responses"]]
    assert len(created) > 3
    assert all("Location" in each["responses"]["201"]["headers"] for each in created)


def test_every_operation_has_an_example_that_fits_and_a_described_success(api: dict[str, Any]) -> None:
    for method, path, each in operations(api):
        success = answered(each)
        assert success["description"] not in {"", "Successful Response"}, path
        for content in (success["content"], each.get("requestBody", {}).get("content", {})):
            if "application/json" not in content:
                continue
            media = content["application/json"]
            shown = [media["example"]] if "example" in media else [each["value"] for each in media["examples"].values()]
            schema = {**media["schema"], "components": api["components"]}
            for example in shown:
                faults = [
                    f"{each.json_path}: {each.message}" for each in Draft202012Validator(schema).iter_errors(example)
                ]
                assert faults == [], f"{method} {path}"


def test_every_code_of_a_problem_is_on_the_page_of_codes() -> None:
    page = (generate.DOCS / "errors.md").read_text()
    for kind in STATUS:
        assert f"`{kind.code}`" in page
    for code in ("invalid", "http", "unavailable", "limit_exceeded", "not_supported", "number_in_conflict", "untraced"):
        assert f"`{code}`" in page


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
        readers = {name for name in bus["operations"] if name.endswith(f".receives.{topic.name.lower()}")}
        assert [name.partition(".")[0] for name in writers] == [access.writer]
        assert {name.partition(".")[0] for name in readers} == set(access.readers)


# docs/schemas: what an editor says of a file that connects a system is what the product says of it.
SCHEMAS = ROOT / "docs" / "schemas"
SHIPPED = [
    ROOT / "shared" / "policy" / "downstreams.toml",
    ROOT / "shared" / "policy" / "emitters.toml",
    *(ROOT / "shared" / "policy" / "datasets").glob("*.toml"),
    *(ROOT / "shared" / "policy" / "http").glob("*.toml"),
]
RIGHT = '[{name}]\nadapter = "bus"\nneeds = ["email"]\n'


def schema_of(file: Path) -> Path:
    """The schema that the first line of a file names for editors."""
    return (file.parent / file.read_text().splitlines()[0].removeprefix("#:schema ")).resolve()


def mistakes(content: dict[str, Any], schema: Path) -> list[str]:
    return [error.message for error in Draft202012Validator(json.loads(schema.read_text())).iter_errors(content)]


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_that_ships_names_its_schema_and_is_as_that_says(file: Path) -> None:
    schema = schema_of(file)
    assert schema.parent == SCHEMAS
    assert mistakes(tomllib.loads(file.read_text()), schema) == []


@pytest.mark.parametrize(
    ("schema", "text", "right"),
    [
        ("downstreams", RIGHT.format(name="billing"), True),
        ("downstreams", RIGHT.format(name="Billing"), False),
        ("downstreams", RIGHT.format(name="billing") + "max_row = 1\n", False),
        ("downstreams", RIGHT.format(name="billing").replace("email", "mail"), False),
        ("downstreams", RIGHT.format(name="billing").replace('needs = ["email"]', ""), False),
        ("dataset", 'name = "x"\ncolour = 1\n[tables]\n', False),
        ("emitters", '[shop]\ntypes = ["user.requested"]\nrights = ["access"]\n', True),
        ("emitters", '[shop]\ntypes = ["user.request"]\n', False),
        ("emitters", '[shop]\ntypes = ["user.account_closed"]\nlevle = "L1"\n', False),
        ("declaration", '[auth]\nkind = "bearer"\n', False),
    ],
)
def test_schema_takes_what_the_product_takes(schema: str, text: str, right: bool) -> None:  # noqa: FBT001
    assert (mistakes(tomllib.loads(text), SCHEMAS / f"{schema}.json") == []) is right


# A golden message per type and version: what was once said on the bus can be read for ever, and means the same.
GOLDEN = Path(__file__).parent / "golden"
MESSAGES: dict[str, type[BaseModel]] = {
    **EVENT_TYPES,
    **KINDS,
    "dsr.task.requested.v1": TaskRequested,
    "dsr.task.replied.v1": TaskReply,
    "dsr.request.status.v1": RequestStatus,
}
FILES = sorted(GOLDEN.glob("*.json"))
"""The first of each type has every field; what follows a ``+`` says what is particular about another one."""


def model_of(file: Path) -> type[BaseModel]:
    return MESSAGES[file.stem.partition("+")[0]]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_golden_message_is_valid_and_is_read_without_loss_and_with_every_field(file: Path) -> None:
    said = json.loads(file.read_bytes())
    contract().validator(model_of(file).__name__).validate(said)
    read = json.loads(model_of(file).model_validate_json(file.read_bytes()).model_dump_json())
    assert _within(said, read) if "+" in file.stem else said == read


def _within(said: object, read: object) -> bool:
    """Whether all that was said is read; what a later version adds may stand next to it, at every depth."""
    match said, read:
        case dict(), dict():
            return all(name in read and _within(value, read[name]) for name, value in said.items())
        case list(), list():
            return len(said) == len(read) and all(map(_within, said, read))
        case _:
            return said == read


@pytest.mark.parametrize("name", MESSAGES)
def test_every_type_has_golden_messages_that_say_something_in_every_field(name: str) -> None:
    said = [json.loads(file.read_bytes()) for file in FILES if file.stem.partition("+")[0] == name]
    assert {field for each in said for field, value in each.items() if value is not None} == {
        *MESSAGES[name].model_fields
    }
