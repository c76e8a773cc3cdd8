"""Reads settings and explains a wrong one: its name, its value, and what to write instead."""

import os
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args, get_origin

from pydantic import BaseModel, FilePath, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.domain.errors import Misconfigured

_LONGEST = 80
_HIGHEST_PORT = 65_535
_HOST = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/@\[\]]+)(?::(\d{1,5}))?")
_NUMBERS = {int: "a whole number", float: "a number"}


class Group(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, validate_default=True):
    """A group of settings, read from the environment; an empty variable is one that is not set.

    Raises:
        Misconfigured: when made; says of every variable that is missing, wrong or unknown what to do about it.
    """

    prefix: ClassVar[str]

    def __init_subclass__(cls, *, prefix: str) -> None:
        cls.prefix = prefix

    @classmethod
    def of_environment(cls) -> Self:
        """Reads every field from the environment."""
        return cls.model_validate({})

    def __init__(self, **values: Any) -> None:
        faults = self._misspelt()
        try:
            super().__init__(**self._set(values), **values)
        except ValidationError as error:
            faults |= {self._fault(item) for item in error.errors(include_url=False)}
        if faults:
            raise Misconfigured("; ".join(sorted(faults)))

    @classmethod
    def _set(cls, values: Mapping[str, Any]) -> dict[str, str]:
        """Returns what the environment holds of the fields for which no value is given."""
        found = {}
        for name, info in cls.model_fields.items():
            others = _other_names(info)
            variables = others or (f"{cls.prefix}{name.upper()}",)
            variable = next((each for each in variables if os.environ.get(each)), None)
            if variable and values.keys().isdisjoint((name, *others)):
                found[variable if others else name] = os.environ[variable]
        return found

    @classmethod
    def _misspelt(cls) -> set[str]:
        """Returns an error for each unknown variable with the prefix of this group."""
        prefix = cls.prefix
        known = {f"{prefix}{name.upper()}" for name in cls.model_fields}
        strange = {name for name in os.environ if name.startswith(prefix)} - known
        if strange:
            infos = (info for group in Group.__subclasses__() for info in group.model_fields.values())
            strange.difference_update(*map(_other_names, infos))
        return {f"{name} is no setting: {_meant(name, known)}" for name in strange}

    @classmethod
    def _fault(cls, item: ErrorDetails) -> str:
        if not item["loc"]:  # of several variables together
            return item["msg"].removeprefix("Value error, ")
        name = str(item["loc"][0])
        variable = f"{cls.prefix}{name.upper()}" if name in cls.model_fields else name
        info = next(info for each, info in cls.model_fields.items() if name == each or name in _other_names(info))
        if item["type"] == "missing":
            return f"{variable} is not set: set it to {allowed(info)}"
        return f"{variable} holds {_shown_value(info, item['input'])}: set it to {allowed(info)}"


def allowed(info: FieldInfo) -> str:
    """Describes the allowed values and the purpose of a setting."""
    return _kind(info) + (f" ({info.description})" if info.description else "")


def shown(value: object) -> str:
    """Returns the value, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def are_hosts(text: str) -> bool:
    """Returns whether the text is a comma-separated list of hosts, with or without ports."""
    found = [_HOST.fullmatch(each.strip()) for each in text.split(",")]
    return all(each and (each[1] is None or 1 <= int(each[1]) <= _HIGHEST_PORT) for each in found)


def _shown_value(info: FieldInfo, value: object) -> str:
    secret = not info.repr or SecretStr in (info.annotation, *get_args(info.annotation))
    return "something else, which is not shown" if secret else shown(value)


def _kind(info: FieldInfo) -> str:
    parts = (info.annotation, *get_args(info.annotation))
    if get_origin(info.annotation) is Literal:
        return " or ".join(map(str, parts[1:]))
    if info.annotation in _NUMBERS:
        return _NUMBERS[info.annotation] + bounds(info)
    if FilePath in parts or get_args(FilePath)[1] in info.metadata:
        return "the path of a file that is there"
    return "true or false" if info.annotation is bool else "a path" if Path in parts else "a value"


def bounds(info: FieldInfo) -> str:
    """Describes the limits of a number, after a blank; empty without limits."""
    limits = {name: getattr(each, name) for each in info.metadata for name in ("ge", "gt", "le") if hasattr(each, name)}
    lowest = f" from {limits['ge']}" if "ge" in limits else f" above {limits['gt']}" if "gt" in limits else ""
    return lowest + (f" up to {limits['le']}" if "le" in limits else "")


def _meant(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1, cutoff=0.85)
    return f"did you mean {close[0]}? otherwise unset it" if close else "unset it"


def _other_names(info: FieldInfo) -> tuple[str, ...]:
    alias = info.validation_alias
    return (alias,) if isinstance(alias, str) else tuple(map(str, getattr(alias, "choices", ())))
