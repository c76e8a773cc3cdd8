"""The downstreams file, one table per system, and the systems built from it; a mistake says where and what to write."""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.domain.clock import Clock
from shared.domain.configuration import allowed, shown
from shared.domain.errors import Misconfigured, all_of, of_variable
from shared.domain.identities import IdentityType
from shared.domain.operations import Operation, Stages
from shared.domain.proofs import ProofPolicy, proof_policy
from shared.domain.toml_file import read_toml
from shared.downstreams.accounts import speaking_of
from shared.downstreams.bus.adapter import BusAdapter, Publish
from shared.downstreams.bus.settings import BusSettings
from shared.downstreams.bus.upload import NoUploads, Uploads
from shared.downstreams.contract import Adapter, Assigning, Locatable
from shared.downstreams.downstream import Downstream
from shared.downstreams.http import DeclaredHttpSettings, HttpAdapter
from shared.downstreams.http import path_of as declaration_path
from shared.downstreams.opendsr import OpenDsrAdapter, OpenDsrSettings
from shared.downstreams.plan import stages
from shared.downstreams.roundup import RoundupAdapter, RoundupSettings
from shared.downstreams.sql import SqlAdapter, SqlSettings, path_of
from shared.downstreams.tryton import TrytonAdapter, TrytonSettings

AdapterSettings = SqlSettings | TrytonSettings | RoundupSettings | OpenDsrSettings | DeclaredHttpSettings | BusSettings
_KINDS: Mapping[str, type[BaseModel]] = {cls.model_fields["adapter"].default: cls for cls in get_args(AdapterSettings)}
_NAME = r"[a-z][a-z0-9-]*"


class _Table(BaseModel):
    """What every table says, and the rest of it by its ``adapter``."""

    model_config = ConfigDict(frozen=True)

    needs: frozenset[IdentityType] = Field(min_length=1, description="identity types, any of which it is searched by")
    yields: frozenset[IdentityType] = Field(default=frozenset(), description="identity types that it knows besides")
    assigns: bool = Field(
        default=False, description="true: it says whose a number is and when, and the register is filled from it"
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
        default=frozenset(), description="what it holds, where its kind or its dataset does not tell"
    )
    enabled: bool = Field(default=True, description="false: read and checked, and not worked with yet")
    settings: Annotated[AdapterSettings, Field(discriminator="adapter")]


_SEARCHED = {name: info for name, info in _Table.model_fields.items() if name != "settings"}


@dataclass(frozen=True, slots=True)
class Wiring:
    """What adapters are given besides their table; the file names secrets, and ``environment`` holds them."""

    environment: Mapping[str, str] = field(repr=False)
    clock: Clock
    publish: Publish
    token_key: bytes = field(repr=False)
    uploads: Uploads = field(default_factory=NoUploads)


class Downstreams:
    """All systems of the downstreams file that are in use."""

    def __init__(self, downstreams: Mapping[str, Downstream]) -> None:
        self._downstreams = downstreams

    @classmethod
    def load(cls, path: Path, wiring: Wiring) -> Self:
        """Build an adapter for every system of the file; none connects before a task needs it.

        Raises:
            Misconfigured: the file cannot be used, or a secret that it names is not in the environment.
        """
        declared = [each for each in read(path, wiring.environment) if each.enabled]
        if len(assigning := [each.name for each in declared if each.assigns]) > 1:
            raise Misconfigured(f"{path}: {' and '.join(assigning)} have assigns = true; one says whose a number is")
        declared = [replace(each, accounts_from=speaking_of(each.accounts, declared)) for each in declared]
        policy = proof_policy()
        connected = all_of(partial(_connected, f"{path}: [{each.name}]", each, wiring, policy) for each in declared)
        return cls({each.name: each for each in connected})

    async def close(self) -> None:
        """Close all adapters."""
        await asyncio.gather(*(each.adapter.close() for each in self._downstreams.values() if each.adapter))

    def get(self, name: str) -> Downstream:
        """The system of that name.

        Raises:
            Misconfigured: there is none.
        """
        try:
            return self._downstreams[name]
        except KeyError:
            known = ", ".join(self._downstreams)
            raise Misconfigured(f"no downstream {name!r}: the downstreams file declares {known}") from None

    @property
    def all(self) -> tuple[Downstream, ...]:
        """Every system that is in use."""
        return tuple(self._downstreams.values())

    def that_can(self, operation: Operation) -> tuple[Downstream, ...]:
        """The systems whose adapter has that operation."""
        return tuple(each for each in self.all if each.can(operation))

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of every system in use the hash of its definition: its table, and the dataset that this names."""
        return {each.name: each.fingerprint for each in self.all}

    def by_hand(self, operation: Operation) -> frozenset[str]:
        """The systems that hold what it is about and have no way to do it: a person does it there."""
        return frozenset(each.name for each in self.all if each.by_hand(operation))

    def stages(self, operation: Operation) -> Stages:
        """The order in which the systems are worked that can do it, or in which a person does it by hand."""
        able = [each for each in self.all if each.can(operation) or each.by_hand(operation)]
        # Where it concerns nothing that any of them holds, they say so.
        return stages([each for each in able if operation not in each.not_held] or able, operation)

    @property
    def on_the_bus(self) -> tuple[str, ...]:
        """The systems that answer on ``dsr.tasks.<system>.replies``."""
        return tuple(each.name for each in self.all if isinstance(each.adapter, BusAdapter))


def read(path: Path, environment: Mapping[str, str], kind: str | None = None) -> tuple[Downstream, ...]:
    """All systems of a downstreams file, in its order and without adapters; paths in it are relative to its folder.

    ``kind``: those of that adapter alone; of the others nothing is looked at. A value ``"${NAME}"`` is taken from the
    environment: an address may differ where the file is the same.

    Raises:
        Misconfigured: names the file, the table and the key, and says what to write instead.
    """
    if not path.is_file():
        fault = "is a folder" if path.is_dir() else "is not there"
        raise Misconfigured(f"{path} {fault}; point DSR_WORK_DOWNSTREAMS at a file")
    tables = read_toml(path, dict[str, Any])
    if not tables:
        raise Misconfigured(f"{path}: declares no system; write a table for each, such as [crm]")
    chosen = {name: table for name, table in tables.items() if kind is None or _kind(table) == kind}
    return tuple(all_of(partial(_declared, path, name, table, environment) for name, table in chosen.items()))


def in_use(path: Path) -> set[str]:
    """The names of the systems that a downstreams file declares and does not disable, without reading the rest.

    Raises:
        Misconfigured: the file cannot be read.
    """
    tables = read_toml(path, dict[str, dict[str, Any]])
    return {name for name, table in tables.items() if table.get("enabled", True)}


def _kind(table: object) -> object:
    return table.get("adapter") if isinstance(table, dict) else None


def _declared(path: Path, name: str, table: object, environment: Mapping[str, str]) -> Downstream:
    where = f"{path}: [{name}]"
    if not isinstance(table, dict):
        raise Misconfigured(f"{where} is not a table; write [{name}] above the keys of a system")
    if not re.fullmatch(_NAME, name):
        raise Misconfigured(f"{where}: a system's name is part of a topic's; use small letters, digits and hyphens")
    values = all_of(partial(_filled, f"{where}: {key}", value, environment) for key, value in table.items())
    filled = dict(zip(table, values, strict=True))
    own = {key: value for key, value in filled.items() if key not in _SEARCHED}
    try:
        said = _Table.model_validate({**{key: filled[key] for key in filled.keys() - own.keys()}, "settings": own})
    except ValidationError as error:
        wrong = [_what_to_write(item, table) for item in error.errors(include_url=False)]
        raise Misconfigured("; ".join(f"{where}: {each}" for each in wrong)) from None
    written = _hash({key: value for key, value in table.items() if key != "enabled"})
    settings = _anchored(said.settings, path.parent)
    return Downstream(
        *(name, said.needs, said.yields, settings, None, said.enabled, written, said.assigns),
        not_held=frozenset(map(Operation, said.not_held)),
        accounts=said.accounts or name,
        categories=said.categories,
    )


def _filled(where: str, value: object, environment: Mapping[str, str]) -> object:
    reference = re.fullmatch(r"\$\{(\w+)\}", value) if isinstance(value, str) else None
    if reference is None:
        return value
    if not environment.get(reference[1]):
        raise Misconfigured(f"{where} takes its value from {reference[1]}, which is not set; export {reference[1]}")
    return environment[reference[1]]


def _what_to_write(item: ErrorDetails, table: Mapping[str, Any]) -> str:
    kind: Any = table.get("adapter")
    fields: Mapping[str, FieldInfo] = {**_SEARCHED, **(_KINDS[kind].model_fields if kind in _KINDS else {})}
    location: Sequence[int | str] = item["loc"][2:] if item["loc"][0] == "settings" else item["loc"]
    key, message = ".".join(map(str, location)), item["msg"].removeprefix("Value error, ")
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


def _anchored(settings: AdapterSettings, folder: Path) -> AdapterSettings:
    paths: dict[str, Path | str] = {name: folder / value for name, value in settings if isinstance(value, Path)}
    described = ((name, value) for name, value in settings if name in {"dataset", "declaration"})
    paths.update((name, str(folder / value)) for name, value in described if value.endswith(".toml"))
    return settings.model_copy(update=paths)


def _connected(where: str, declared: Downstream, wiring: Wiring, policy: ProofPolicy) -> Downstream:
    for key, name in declared.settings or ():
        if key.endswith("_env") and name is not None and not wiring.environment.get(name):
            raise Misconfigured(
                f"{where}: {key} names {name}, which is not set; export {name} before the service starts"
            )
    if isinstance(declared.settings, SqlSettings):
        name = declared.settings.dsn_env
        if not re.match(r"postgres(ql)?://.", wiring.environment[name]):
            raise Misconfigured(
                f"{where}: dsn_env names {name}, which holds no postgresql:// URL; set it to the store's"
            )
    adapter = of_variable(where, partial(_adapter, declared, wiring))
    if isinstance(adapter, BusAdapter) and Operation.EXPORT in adapter.operations and not declared.categories:
        raise Misconfigured(f"{where}: export needs categories; write those of which the team gives rows")
    if declared.yields and not isinstance(adapter, Locatable):
        raise Misconfigured(f"{where}: yields needs a system that can be searched, and this kind cannot; leave it out")
    if declared.assigns and not isinstance(adapter, Assigning):
        raise Misconfigured(
            f"{where}: assigns needs a system that can list its numbers, and this kind cannot; leave it out"
        )
    if unheard := sorted(getattr(adapter, "searched_by", frozenset()) - declared.needs - declared.yields):
        raise Misconfigured(
            f"{where}: needs lacks {' and '.join(unheard)}, by which it would be searched, and a system is told only"
            " what it needs; add to needs, or take from the rest of what is declared of it"
        )
    not_held = declared.not_held | (adapter.not_held if isinstance(adapter, SqlAdapter) else frozenset())
    tenants = adapter.tenants if isinstance(adapter, SqlAdapter | BusAdapter) else frozenset[str]()
    held = declared.categories.union(getattr(adapter, "holds", ()), getattr(adapter, "categories", ()))
    declared = replace(declared, categories=held, needed=policy.needed(held), not_held=not_held, tenants=tenants)
    return replace(declared, adapter=adapter, fingerprint=_fingerprint(declared))


def _fingerprint(declared: Downstream) -> str:
    """The hash of the table as it is written, without what the environment holds, and of the file that it names."""
    match declared.settings:
        case SqlSettings() as settings:
            file = path_of(settings.dataset)
        case DeclaredHttpSettings() as settings:
            file = declaration_path(settings.declaration)
        case _:
            return declared.fingerprint
    return _hash([declared.fingerprint, read_toml(file, dict[str, Any])])


def _hash(content: object) -> str:
    return hashlib.sha256(orjson.dumps(content, default=str)).hexdigest()


def _adapter(declared: Downstream, wiring: Wiring) -> Adapter:
    name, environment = declared.name, wiring.environment
    match declared.settings:
        case SqlSettings() as settings:
            return SqlAdapter(name, settings, environment=environment)
        case TrytonSettings() as settings:
            return TrytonAdapter(name, settings, environment=environment)
        case RoundupSettings() as settings:
            return RoundupAdapter(name, settings, environment=environment)
        case OpenDsrSettings() as settings:
            return OpenDsrAdapter(name, settings, clock=wiring.clock, environment=environment)
        case DeclaredHttpSettings() as settings:
            return HttpAdapter(name, settings, clock=wiring.clock, environment=environment)
        case BusSettings() as settings:
            return BusAdapter(
                name,
                settings,
                needs=declared.needs,
                publish=wiring.publish,
                token_key=wiring.token_key,
                clock=wiring.clock,
                uploads=wiring.uploads,
                held=declared.categories,
            )
        case _:
            raise Misconfigured(f"{name}: no adapter has settings of this kind")
