"""Values and keys as TOML writes them, a value on one line."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def key(name: str) -> str:
    """A key: bare where that is allowed, else quoted."""
    return name if _BARE.fullmatch(name) else value(name)


def value(content: Any) -> str:
    """A string, number, boolean, array or inline table."""
    match content:
        case Mapping():
            return "{ " + ", ".join(f"{key(name)} = {value(each)}" for name, each in content.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(value(each) for each in content) + "]"
        case str():
            return orjson.dumps(content).decode().replace("\x7f", "\\u007f")
        case _:
            return orjson.dumps(content, default=str).decode()


def comment(text: str) -> str:
    """A comment on one line, whatever is in a name of the database."""
    return "# " + re.sub(r"[\x00-\x1f\x7f]+", " ", text)
