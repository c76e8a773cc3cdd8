"""Counts the lines of each package, and what others build against."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import asyncpg
import yaml

from deploy.local.paths import ROOT
from shared.domain.configuration import Group
from shared.storage.migrate import migrate
from shared.storage.postgres import connected

DOCS = ROOT / "docs"
_SPLIT = ("shared", "services", "tests")
"""Folders whose packages are counted one by one."""
_METHODS = {"get", "post", "put", "patch", "delete"}
_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"


def lines(root: Path = ROOT) -> dict[str, int]:
    """Returns the lines of Python of each package."""
    counted = {str(folder.relative_to(root)): _lines(folder) for folder in _packages(root)}
    return {name: number for name, number in counted.items() if number}


def _packages(root: Path) -> Iterator[Path]:
    for folder in ("shared", "services", "deploy", "docs", "tests"):
        inner = sorted(each for each in (root / folder).iterdir() if each.is_dir()) if folder in _SPLIT else []
        yield from inner or [root / folder]


def _lines(folder: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in folder.rglob("*.py"))


async def counts(empty_database: str) -> Mapping[str, int]:
    """Returns how many there are of each kind of contract; the tables are counted in a database made for it."""
    await migrate(empty_database)
    async with connected(empty_database) as connection:
        return {**_documented(), "tables": await _tables(connection)}


def _documented() -> dict[str, int]:
    api = json.loads((DOCS / "openapi.json").read_text())["paths"]
    bus = yaml.safe_load((DOCS / "asyncapi.yaml").read_text())
    keys = re.findall(r"^\| `", (DOCS / "plug-in" / "reference.md").read_text(), re.MULTILINE)
    return {
        "paths of the API": len(api),
        "operations of the API": sum(len(methods.keys() & _METHODS) for methods in api.values()),
        "messages on the bus": len(bus["components"]["messages"]),
        "topics": len(bus["channels"]),
        "settings (environment variables)": len(settings()),
        "keys of the files that connect a system": len(keys),
    }


def settings() -> set[str]:
    """Returns the environment variables that the services and their commands read."""
    for path in (*(ROOT / "shared").rglob("*.py"), *(ROOT / "services").rglob("*.py")):
        if "(Group, prefix=" in path.read_text():
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    prefixes = ((group.prefix, group.model_fields) for group in Group.__subclasses__())
    return {f"{prefix}{name.upper()}" for prefix, fields in prefixes for name in fields}


async def _tables(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval(_TABLES))
