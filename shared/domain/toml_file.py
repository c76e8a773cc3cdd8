"""The reader of TOML files: policy, datasets and the downstreams file. No other module of this package opens a file."""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from shared.domain.configuration import shown
from shared.domain.errors import Fault, Misconfigured
from shared.domain.model_keys import keys_at
from shared.domain.toml_places import line_of, lines_of

Content = TypeVar("Content")

_SAYS_ALL = frozenset({"value_error", "missing", "extra_forbidden"})


class Mistakes(ValueError):
    """Everything that a model finds wrong with itself, a sentence for each."""

    def __init__(self, says: Sequence[str]) -> None:
        super().__init__("; ".join(says))
        self.says = tuple(says)


def read_toml(path: Path, model: type[Content]) -> Content:
    """The content of a TOML file as a pydantic model, or as another type that pydantic can validate.

    Raises:
        Misconfigured: the file cannot be read, is not TOML, or is not what the model says; names every wrong key and
            its line.
    """
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        return TypeAdapter(model).validate_python(tomllib.loads(text))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except ValidationError as error:
        lines = lines_of(text)
        faults = [
            Fault(said, str(path), line_of(lines, item["loc"]), ".".join(map(str, item["loc"])))
            for item in error.errors(include_url=False)
            for said in _said(item, model)
        ]
        raise Misconfigured(*faults) from None
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number without end, brackets without end
        reason = f"it is not TOML: {error}"
    raise Misconfigured(Fault(f"cannot be used: {reason}", str(path)))


def _said(item: ErrorDetails, model: Any) -> Sequence[str]:
    """What is wrong at one place, a sentence for each mistake."""
    mistakes = item.get("ctx", {}).get("error")
    return mistakes.says if isinstance(mistakes, Mistakes) else (_sentence(item, model),)


def _sentence(item: ErrorDetails, model: Any) -> str:
    message = item["msg"].removeprefix("Value error, ")
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
