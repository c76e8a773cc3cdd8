"""The reader of TOML files: policy, datasets and the downstreams file. No other module of this package opens a file."""

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from shared.domain.errors import Misconfigured

Content = TypeVar("Content")


def read_toml(path: Path, model: type[Content]) -> Content:
    """The content of a TOML file as a pydantic model, or as another type that pydantic can validate.

    Raises:
        Misconfigured: the file cannot be read, is not TOML, or is not what the model says; names every wrong key.
    """
    try:
        return TypeAdapter(model).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except ValidationError as error:
        wrong = [(".".join(map(str, each["loc"])), each["msg"]) for each in error.errors(include_url=False)]
        reason = "; ".join(f"{key}: {message.removeprefix('Value error, ')}" for key, message in wrong)
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, a number without end, brackets without end
        reason = f"it is not TOML: {error}"
    raise Misconfigured(f"{path} cannot be used: {reason}")
