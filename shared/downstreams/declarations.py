"""The downstreams file: a TOML table per system, read into frozen settings; a mistake says where and what to write."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.domain.errors import Misconfigured
from shared.domain.identities import IdentityType
from shared.downstreams.bus.adapter import BusSettings
from shared.downstreams.opendsr import OpenDsrSettings
from shared.downstreams.plan import System
from shared.downstreams.roundup import RoundupSettings
from shared.downstreams.sql import SqlSettings
from shared.downstreams.tryton import TrytonSettings

AdapterSettings = SqlSettings | TrytonSettings | RoundupSettings | OpenDsrSettings | BusSettings
"""The table of one system, by its ``adapter``."""

KINDS: Mapping[str, type[AdapterSettings]] = {
    "sql": SqlSettings,
    "tryton": TrytonSettings,
    "roundup": RoundupSettings,
    "opendsr": OpenDsrSettings,
    "bus": BusSettings,
}

_NAME = r"[a-z][a-z0-9-]*"


class _Searched(BaseModel):
    """What every table says: by which identity types the system is searched, which it yields, whether it is in use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    needs: frozenset[IdentityType] = Field(min_length=1, description="identity types, any of which it is searched by")
    yields: frozenset[IdentityType] = Field(default=frozenset(), description="identity types that it knows besides")
    enabled: bool = Field(default=True, description="false: read and checked, and not worked with yet")


@dataclass(frozen=True, slots=True)
class Declaration:
    """One system as the file declares it."""

    system: System
    settings: AdapterSettings
    enabled: bool


def read(path: Path, environment: Mapping[str, str]) -> tuple[Declaration, ...]:
    """All systems of a downstreams file, in its order; paths in it are relative to its folder.

    A value ``"${NAME}"`` is taken from the environment: an address may differ where the file is the same.

    Raises:
        Misconfigured: names the file, the table and the key, and says what to write instead.
    """
    try:
        tables = tomllib.loads(path.read_text())
    except OSError as error:
        raise Misconfigured(
            f"{path}: cannot be read ({error.strerror}); point DSR_WORK_DOWNSTREAMS at a file"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path}: not TOML: {error}") from None
    if not tables:
        raise Misconfigured(f"{path}: declares no system; write a table for each, such as [crm]")
    return tuple(_declaration(path, name, table, environment) for name, table in tables.items())


def _declaration(path: Path, name: str, table: object, environment: Mapping[str, str]) -> Declaration:
    where = f"{path}: [{name}]"
    if not isinstance(table, dict):
        raise Misconfigured(f"{where} is not a table; write [{name}] above the keys of a system")
    if not re.fullmatch(_NAME, name):
        raise Misconfigured(f"{where}: a system's name is part of a topic's; use small letters, digits and hyphens")
    kind = table.get("adapter")
    if not isinstance(kind, str) or kind not in KINDS:
        given = "is missing" if kind is None else f"{kind!r} is not known"
        raise Misconfigured(f"{where}: adapter {given}; write one of {_quoted(KINDS)}")
    filled = {key: _filled(f"{where}: {key}", value, environment) for key, value in table.items()}
    searched = {key: value for key, value in filled.items() if key in _Searched.model_fields}
    own = {key: value for key, value in filled.items() if key not in searched}
    known = _read(where, _Searched, searched, KINDS[kind])
    settings = _read(where, KINDS[kind], own, KINDS[kind])
    return Declaration(System(name, known.needs, known.yields), _anchored(settings, path.parent), known.enabled)


def _filled(where: str, value: object, environment: Mapping[str, str]) -> object:
    reference = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    if reference is None:
        return value
    if not environment.get(reference[1]):
        raise Misconfigured(f"{where} takes its value from {reference[1]}, which is not set; export {reference[1]}")
    return environment[reference[1]]


ModelT = TypeVar("ModelT", bound=BaseModel)


def _read(where: str, model: type[ModelT], table: Mapping[str, Any], kind: type[BaseModel]) -> ModelT:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        fields = {**_Searched.model_fields, **kind.model_fields}
        wrong = [_what_to_write(item, fields) for item in error.errors(include_url=False)]
        raise Misconfigured("; ".join(f"{where}: {each}" for each in wrong)) from None


def _what_to_write(item: ErrorDetails, fields: Mapping[str, FieldInfo]) -> str:
    key = ".".join(map(str, item["loc"]))
    match item["type"]:
        case "missing":
            described = fields[key].description if key in fields else None
            return f"{key} is missing; write {key} = …" + (f" ({described})" if described else "")
        case "extra_forbidden":
            close = get_close_matches(key, fields, n=1)
            return f"{key} is not a key here; " + (
                f"write {close[0]}" if close else f"the keys are {', '.join(fields)}"
            )
        case _:
            return (
                f"{key}: {item['msg'].removeprefix('Value error, ')}"
                if key
                else item["msg"].removeprefix("Value error, ")
            )


def _anchored(settings: AdapterSettings, folder: Path) -> AdapterSettings:
    paths: dict[str, Path | str] = {name: folder / value for name, value in settings if isinstance(value, Path)}
    if isinstance(settings, SqlSettings) and settings.dataset.endswith(".toml"):
        paths["dataset"] = str(folder / settings.dataset)
    return settings.model_copy(update=paths)


def _quoted(words: Iterable[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)
