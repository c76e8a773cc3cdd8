"""The keys of the platform: for sealing, for look-up by identity, for claims, and for signing proofs.

``python -m shared.storage.keyring FILE`` makes a new keyring; with ``--rotate`` it adds a sealing key to one and makes
it the active one. In production the file is a mounted secret.
"""

import base64
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.domain.errors import Misconfigured, UnknownKey
from shared.domain.identities import Identity

_KEY_BYTES = 32


@dataclass(frozen=True)
class Keyring:
    """Key-encryption keys by id, the active one's id, and the platform's other secrets, 32 bytes each."""

    active: str
    keys: dict[str, AESGCM] = field(repr=False)
    lookup: bytes = field(repr=False)
    claims: bytes = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)

    def key(self, kek_id: str) -> AESGCM:
        """The key-encryption key of that id; raises ``UnknownKey``."""
        try:
            return self.keys[kek_id]
        except KeyError:
            message = f"no key {kek_id!r} in the keyring"
            raise UnknownKey(message) from None

    def fingerprint(self, identity: Identity) -> bytes:
        """Keyed HMAC-SHA256 of an identity, for look-up where the identity itself must not be stored (REQ-K2)."""
        return hmac.digest(self.lookup, f"{identity.type}\0{identity.value}".encode(), "sha256")


def load(path: Path) -> Keyring:
    """Reads a keyring file; raises ``Misconfigured`` if it is missing or cannot be used."""
    try:
        raw = json.loads(path.read_text())
        return Keyring(
            active=next(name for name in raw["keys"] if name == raw["active"]),
            keys={name: AESGCM(_bytes(value)) for name, value in raw["keys"].items()},
            lookup=_bytes(raw["lookup"]),
            claims=_bytes(raw["claims"]),
            signing=Ed25519PrivateKey.from_private_bytes(_bytes(raw["signing"])),
        )
    except FileNotFoundError:
        message = f"no keyring at {path}: make one with `python -m shared.storage.keyring {path}`"
        raise Misconfigured(message) from None
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        message = f"the keyring at {path} cannot be used ({type(error).__name__}): make a new one or restore it"
        raise Misconfigured(message) from error


def create(path: Path, active: str = "k1") -> None:
    """Writes a new keyring, readable by its owner only; an existing file is left alone."""
    content = {
        "active": active,
        "keys": {active: _text(os.urandom(_KEY_BYTES))},
        **{name: _text(os.urandom(_KEY_BYTES)) for name in ("lookup", "claims", "signing")},
    }
    _write(path, content)


def rotate(path: Path) -> str:
    """Adds a sealing key with which new subjects are sealed from now on; old ones still open with theirs.

    Returns its id; raises ``Misconfigured`` if the file is no keyring, and leaves it alone then.
    """
    load(path)
    content = json.loads(path.read_text())
    number = 1 + len(content["keys"])
    while f"k{number}" in content["keys"]:
        number += 1
    name = f"k{number}"
    content["keys"][name] = _text(os.urandom(_KEY_BYTES))
    fresh = path.with_name(f"{path.name}.new")
    _write(fresh, {**content, "active": name})
    fresh.replace(path)  # whole or not at all: a keyring cut short would be every subject's loss
    return name


def _write(path: Path, content: Mapping[str, object]) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, indent=1)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if len(raw) != _KEY_BYTES:
        message = f"a key must be {_KEY_BYTES} bytes in base64"
        raise ValueError(message)
    return raw


def main(file: Path, *, rotated: Annotated[bool, typer.Option("--rotate")] = False) -> None:
    """Makes a keyring, or adds a key to one."""
    if rotated:
        typer.echo(f"new subjects are sealed with {rotate(file)}")
    else:
        create(file)


if __name__ == "__main__":
    typer.run(main)
