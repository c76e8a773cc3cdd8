"""The fingerprint of a system's definition: another one is another definition, which a person accepts first."""

import hashlib
from typing import Any

import orjson

from shared.domain.toml_file import read_toml
from shared.downstreams.downstream import Downstream
from shared.systems.http.settings import DeclaredHttpSettings
from shared.systems.http.settings import path_of as declaration_path
from shared.systems.sql.settings import SqlSettings, path_of


def of_system(declared: Downstream) -> str:
    """The hash of the table as it is written, without what the environment holds, and of the file that it names."""
    match declared.settings:
        case SqlSettings() as settings:
            file = path_of(settings.dataset)
        case DeclaredHttpSettings() as settings:
            file = declaration_path(settings.declaration)
        case _:
            return declared.fingerprint
    return digest([declared.fingerprint, read_toml(file, dict[str, Any])])


def digest(content: object) -> str:
    """The hash of something that is written, with its keys in the order in which they are."""
    return hashlib.sha256(orjson.dumps(content, default=str)).hexdigest()
