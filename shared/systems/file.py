"""Reads the downstreams file, one table per system, without connecting; errors say what to write instead."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.domain.configuration import allowed, shown
from shared.domain.errors import Fault, Misconfigured, all_of
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation
from shared.domain.toml_file import read_toml
from shared.systems.bus.settings import BusSettings
from shared.systems.conformance.declared import Conformance
from shared.systems.downstream import Downstream
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.http.settings import path_of as declaration_path
from shared.systems.opendsr.settings import OpenDsrSettings
from shared.systems.roundup.settings import RoundupSettings
from shared.systems.sql.settings import SqlSettings, path_of
from shared.systems.tryton.settings import TrytonSettings


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the file."""

    file: Path
    name: str

    @classmethod
    def each_of(cls, file: Path, names: Mapping[str, object]) -> Mapping[str, Self]:
        """Returns a table for each name."""
        return {name: cls(file, name) for name in names}

    def __str__(self) -> str:
        return f"{self.file}: [{self.name}]"

    def fault(self, says: str) -> Fault:
        """Returns a fault of this table."""
        return Fault(says, str(self.file), f"[{self.name}]")


AdapterSettings = SqlSettings | TrytonSettings | RoundupSettings | OpenDsrSettings | DeclaredHttpSettings | BusSettings
_KINDS: Mapping[str, type[BaseModel]] = {cls.model_fields["adapter"].default: cls for cls in get_args(AdapterSettings)}
_NAME = r"[a-z][a-z0-9-]*"


class SystemKeys(BaseModel):
    """Keys common to all tables; the others depend on ``adapter``."""

    model_config = ConfigDict(frozen=True)

    needs: frozenset[IdentityType] = Field(min_length=1, description="identity types, any of which it is searched by")
    yields: frozenset[IdentityType] = Field(default=frozenset(), description="identity types that it also knows")
    assigns: bool = Field(
        default=False,
        description="true: it says whose a number is and when, and the register is filled from it",
    )
    not_held: frozenset[Literal[Operation.RECTIFY, Operation.SUPPRESS]] = Field(
        default=frozenset(), description="rectify, suppress: it holds nothing that could be corrected, or no marketing"
    )
    accounts: str = Field(
        default="",
        pattern=f"^({_NAME})?$",
        description="namespace of its account ids, its own name if left out; customers: those that a customer states",
    )
    categories: frozenset[str] = Field(
        default=frozenset(), description="what it holds, where its kind or its dataset does not say"
    )
    conformance: Conformance | None = Field(
        default=None, description="how `dsr conformance` fills it with invented people, and removes them"
    )
    enabled: bool = Field(default=True, description="false: read and checked, and not worked with yet")
    settings: Annotated[AdapterSettings, Field(discriminator="adapter")]


_NO_PART = frozenset({"enabled", "conformance"})
"""Keys that do not affect how a system is worked."""
_SEARCHED = {name: info for name, info in SystemKeys.model_fields.items() if name != "settings"}


def read(path: Path, environment: Mapping[str, str], kind: str | None = None) -> tuple[Downstream, ...]:
    """Returns the systems of a downstreams file in order, without adapters; its paths are relative to its folder.

    ``kind``: only systems of that adapter. A value ``"${NAME}"`` comes from the environment.

    Raises:
        Misconfigured: names the file, the table and the key, and says what to write instead
    """
    tables = tables_of(path)
    chosen = {name: table for name, table in tables.items() if kind is None or _kind(table) == kind}
    places = Table.each_of(path, chosen)
    return tuple(all_of(partial(declare, places[name], table, environment) for name, table in chosen.items()))


def tables_of(path: Path) -> Mapping[str, object]:
    """Returns the tables of a downstreams file as written.

    Raises:
        Misconfigured: the file is missing or empty
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "is not there"
        raise Misconfigured(f"{path} {fault}; point DSR_WORK_DOWNSTREAMS at a file")
    tables = read_toml(path, dict[str, Any])
    if not tables:
        raise Misconfigured(f"{path}: declares no system; write a table for each, such as [crm]")
    return tables


def in_use(path: Path) -> set[str]:
    """Returns the names of the enabled systems of a file, without reading the rest.

    Raises:
        Misconfigured: the file cannot be read
    """
    tables = read_toml(path, dict[str, dict[str, Any]])
    return {name for name, table in tables.items() if table.get("enabled", True)}


def _kind(table: object) -> object:
    return table.get("adapter") if isinstance(table, dict) else None


def declare(place: Table, table: object, environment: Mapping[str, str]) -> Downstream:
    """Returns the declaration of a table, without adapter.

    Raises:
        Misconfigured: says for every key what to write instead
    """
    if not isinstance(table, dict):
        raise Misconfigured(place.fault(f"is not a table; write [{place.name}] above the keys of a system"))
    if not re.fullmatch(_NAME, place.name):
        says = "a system's name is part of a topic's; use small letters, digits and hyphens"
        raise Misconfigured(place.fault(says))
    values = all_of(partial(_from_environment, place, key, value, environment) for key, value in table.items())
    filled = dict(zip(table, values, strict=True))
    own = {key: value for key, value in filled.items() if key not in _SEARCHED}
    try:
        keys = SystemKeys.model_validate({**{key: filled[key] for key in filled.keys() - own.keys()}, "settings": own})
    except ValidationError as error:
        wrong = error.errors(include_url=False)
        raise Misconfigured(*(place.fault(_remedy(item, table)) for item in wrong)) from None
    written = digest({key: value for key, value in table.items() if key not in _NO_PART})
    settings = _with_absolute_paths(keys.settings, place.file.parent)
    return Downstream(
        *(place.name, keys.needs, keys.yields, settings, None, keys.enabled, written, keys.assigns),
        not_held=frozenset(map(Operation, keys.not_held)),
        accounts=keys.accounts or place.name,
        categories=keys.categories,
        conformance=keys.conformance,
    )


def _from_environment(place: Table, key: str, value: object, environment: Mapping[str, str]) -> object:
    reference = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    if reference is None:
        return value
    if not environment.get(reference[1]):
        says = f"{key} takes its value from {reference[1]}, which is not set; export {reference[1]}"
        raise Misconfigured(place.fault(says))
    return environment[reference[1]]


def _key(item: ErrorDetails) -> Sequence[int | str]:
    return item["loc"][2:] if item["loc"][0] == "settings" else item["loc"]


def _remedy(item: ErrorDetails, table: Mapping[str, Any]) -> str:
    kind: Any = table.get("adapter")
    fields: Mapping[str, FieldInfo] = {**_SEARCHED, **(_KINDS[kind].model_fields if kind in _KINDS else {})}
    key, message = ".".join(map(str, _key(item))), item["msg"].removeprefix("Value error, ")
    match item["type"]:
        case "union_tag_not_found" | "union_tag_invalid":
            given = "is missing" if kind is None else f"{kind!r} is not known"
            kinds = ", ".join(f'"{each}"' for each in _KINDS)
            return f"adapter {given}; write one of {kinds}"
        case "missing":
            described = fields[key].description if key in fields else None
            return f"{key} is missing; write {key} = …" + (f" ({described})" if described else "")
        case "extra_forbidden":
            close = get_close_matches(key, fields, n=1)
            remedy = f"write {close[0]}" if close else f"the keys are {', '.join(fields)}"
            return f"{key} is not a key here; {remedy}"
        case _ if key in fields and key in table:  # as it is written there, for the environment may hold a secret
            expected = message if item["type"] == "value_error" else f"write {allowed(fields[key])}"
            return f"{key} holds {shown(table[key])}: {expected}"
        case _:
            return f"{key}: {message}" if key else message


def _with_absolute_paths(settings: AdapterSettings, folder: Path) -> AdapterSettings:
    paths: dict[str, Path | str] = {name: folder / value for name, value in settings if isinstance(value, Path)}
    described = ((name, value) for name, value in settings if name in {"dataset", "declaration"})
    paths.update((name, str(folder / value)) for name, value in described if value.endswith(".toml"))
    return settings.model_copy(update=paths)


def system_fingerprint(declared: Downstream) -> str:
    """Hashes a table as written, with the file that it names, without values of the environment."""
    match declared.settings:
        case SqlSettings() as settings:
            file = path_of(settings.dataset)
        case DeclaredHttpSettings() as settings:
            file = declaration_path(settings.declaration)
        case _:
            return declared.fingerprint
    return digest([declared.fingerprint, read_toml(file, dict[str, Any])])


def digest(content: object) -> str:
    """Hashes a written value; the order of its keys counts."""
    return hashlib.sha256(orjson.dumps(content, default=str)).hexdigest()
