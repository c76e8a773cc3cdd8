"""The reader of TOML files: policy, datasets and the downstreams file. No other module of this package opens a file."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shared.domain.configuration import shown
from shared.domain.errors import Fault, Misconfigured

Place = tuple[str | int, ...]
"""The way to a key: the names of the tables around it, and positions in lists."""


def keys_at(model: Any, place: Sequence[str | int]) -> list[str]:
    """Returns the keys of the table at that place, in the models' order; none without a table."""
    found = list(_models(model))
    for step in place:
        found = [each for one in found for each in _below(one, step)] or found  # the name of a union's kind leads on
    return list(dict.fromkeys(key for each in found if _is_model(each) for key in fields_of(each)))


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Type of each key of a model, by the name that it has in a file."""
    return {info.alias or name: info.annotation for name, info in model.model_fields.items()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _models(kind: Any) -> Iterator[Any]:
    """Yields the models, mappings and sequences within unions and annotations."""
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        for each in get_args(kind):
            yield from _models(each)
    elif hasattr(kind, "__metadata__"):
        yield from _models(get_args(kind)[0])
    else:
        yield kind


def _below(kind: Any, step: str | int) -> Iterator[Any]:
    origin = get_origin(kind)
    if _is_model(kind):
        if step in (fields := fields_of(kind)):
            yield from _models(fields[str(step)])
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from _models(get_args(kind)[1])
    elif isinstance(step, int) and get_args(kind):
        yield from _models(get_args(kind)[0])


Content = TypeVar("Content")

_SAYS_ALL = frozenset({"value_error", "missing", "extra_forbidden"})
_LISTS = frozenset({"tuple_type", "list_type", "set_type", "frozen_set_type"})


class Mistakes(ValueError):
    """Reports all faults of a model, a sentence each."""

    def __init__(self, says: Sequence[str]) -> None:
        super().__init__("; ".join(says))
        self.says = tuple(says)


def read_toml(path: Path, model: type[Content], over: Path | None = None) -> Content:
    """The content of a TOML file as a pydantic model, or as another type that pydantic can validate.

    ``over``: a file whose keys go over those of the first, table by table; one that is not there changes nothing.

    Raises:
        Misconfigured: a file cannot be read, is not TOML, or is not what the model says; names every wrong key.
    """
    texts = [(file, _text(file)) for file in (path, over) if file and (file == path or file.exists())]
    return cast("Content", _read(cast("Any", model), *texts))


@lru_cache(maxsize=64)
def _read(model: Any, *texts: tuple[Path, str]) -> object:
    """Reads a file once for each content; the result is frozen."""
    contents = [(file, _parsed(file, text)) for file, text in texts]
    content: dict[str, Any] = {}
    for _, each in contents:
        content = _merged(content, each)
    try:
        return TypeAdapter(model).validate_python(content)
    except ValidationError as error:
        under = contents[0][1] if len(texts) > 1 else {}
        mistakes = [each for item in error.errors(include_url=False) for each in _said_of(item, model, under)]
        raise Misconfigured(
            *(fault_at(contents[::-1], place, says) for place, says in dict.fromkeys(mistakes))
        ) from None


def read_with_ours(path: Path, model: type[Content], overlay: Path | None) -> Content:
    """The content of a file of the policy, with the company's own of the same name in that folder over it."""
    return read_toml(path, model, overlay and overlay / path.name)


def fault_at(files: Sequence[tuple[Path, object]], place: Place, says: str) -> Fault:
    """Returns the fault at a place of layered files, in the file that knows most of the place."""
    known = [_depth(content, place) for _, content in files]
    file, _ = files[known.index(max(known))]
    return Fault(says, str(file), ".".join(map(str, place)))


def content_of(path: Path) -> Mapping[str, Any]:
    """Returns the content of a TOML file, or nothing if there is none."""
    return _parsed(path, _text(path)) if path.exists() else {}


def _depth(content: Any, place: Place) -> int:
    """Returns how many steps of the way to a key a file knows."""
    for depth, step in enumerate(place):
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(place)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except UnicodeError as error:
        reason = f"it is not TOML: {error}"
    raise Misconfigured(Fault(f"cannot be used: {reason}", str(path)))


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # no TOML, a number without end, brackets without end
        raise Misconfigured(Fault(f"cannot be used: it is not TOML: {error}", str(path))) from None


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(under[key], value) if isinstance(value, dict) and isinstance(under.get(key), dict) else value
        for key, value in over.items()
    }
    return {**under, **both}


def _said_of(item: ErrorDetails, model: Any, under: Any) -> Iterator[tuple[Place, str]]:
    """Yields each mistake and its place; ``under``: the file below, whose part may be misspelt."""
    match item["type"], item["loc"]:
        case "missing", (*place, name, _) if place:
            for step in place:
                under = under.get(step) if isinstance(under, dict) else None
            known = under if isinstance(under, dict) and name not in under else {}
            if near := get_close_matches(str(name), map(str, known), n=1):
                meant = f"did you mean {near[0]}? Or write all of it"
                yield (*place, name), f"is no part of the file beneath, and not whole: {meant}"
                return
    yield from ((item["loc"], each) for each in _said(item, model))


def _said(item: ErrorDetails, model: Any) -> Sequence[str]:
    """Returns the mistakes at one place, a sentence each."""
    mistakes = item.get("ctx", {}).get("error")
    return mistakes.says if isinstance(mistakes, Mistakes) else (_sentence(item, model),)


def _sentence(item: ErrorDetails, model: Any) -> str:
    list_wanted = item["type"] in _LISTS
    message = "must be a list: write it in [ ]" if list_wanted else item["msg"].removeprefix("Value error, ")
    match item["type"]:
        case "missing":
            return "is missing; write it"
        case "extra_forbidden":
            keys = keys_at(model, item["loc"][:-1])
            close = get_close_matches(str(item["loc"][-1]), keys, n=1)
            return "is no key here; " + (f"write {close[0]}" if close else f"the keys are {', '.join(keys)}")
        case kind if kind not in _SAYS_ALL and isinstance(item["input"], str | int | float):
            return f"holds {shown(item['input'])}: {message}"
        case _:
            return message
