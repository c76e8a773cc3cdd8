"""docs/schemas: what an editor says of a file that connects a system is what the product says of it."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deploy.local.paths import ROOT

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
def test_a_schema_takes_what_the_product_takes_and_nothing_else(schema: str, text: str, right: bool) -> None:  # noqa: FBT001
    assert (mistakes(tomllib.loads(text), SCHEMAS / f"{schema}.json") == []) is right
