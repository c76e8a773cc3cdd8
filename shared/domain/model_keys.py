"""Which keys a configuration file may have at a place, as the models that read it say."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel


def keys_at(model: Any, place: Sequence[str | int]) -> list[str]:
    """The keys of the table that stands there, in the models' order; none where no table does."""
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
    """What may stand there: models, mappings and sequences, whatever union or annotation is around them."""
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
