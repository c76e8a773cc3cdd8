"""How generated manifests are written down."""

from collections.abc import Iterable, Mapping
from typing import Any

import yaml


def text(objects: Iterable[Mapping[str, Any]], source: str) -> str:
    """The objects as one file that says where they come from; several lines of text stay several lines."""
    said = f"# Generated from the code by `make k8s`: change {source} or what it reads.\n"
    plain = [_plain(each) for each in objects]
    return said + yaml.dump_all(plain, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """As PyYAML's, with texts of several lines as blocks."""


def _block(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _block)


def _plain(value: Any) -> Any:
    """Without enums, which YAML would not know."""
    match value:
        case str():
            return str(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value
