"""The keys of the platform: for sealing, for look-up by identity, for identity tokens, and for signing proofs.

``dsr key new FILE`` makes a new keyring, ``dsr key rotate FILE`` adds a sealing key to one and makes it the active one.
In production the file is a mounted secret.
"""

import os
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Annotated, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.domain.errors import Misconfigured, UnknownKey
from shared.domain.identities import Identity

_KEY_BYTES = 32
_BLOCK = 64
"""Bytes that SHA-256 takes at a time."""
_Secret = Annotated[bytes, Field(min_length=_KEY_BYTES, max_length=_KEY_BYTES)]


class _File(BaseModel):
    """The keyring as it is written: every secret is 32 bytes in base64."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    active: str
    keys: dict[str, _Secret]
    lookup: _Secret
    claims: _Secret
    signing: _Secret

    @model_validator(mode="after")
    def _has_the_active_key(self) -> Self:
        if self.active not in self.keys:
            raise ValueError("the active key is not in it")
        return self


@dataclass(frozen=True)
class Keyring:
    """Key-encryption keys by id, the active one's id, and the platform's other secrets, 32 bytes each."""

    active: str
    keys: dict[str, AESGCM] = field(repr=False)
    lookup: bytes = field(repr=False)
    claims: bytes = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)
    path: Path | None = None
    _pads: tuple[bytes, bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pads = tuple(bytes(byte ^ pad for byte in self.lookup.ljust(_BLOCK, b"\0")) for pad in (0x36, 0x5C))
        object.__setattr__(self, "_pads", pads)

    def key(self, kek_id: str) -> AESGCM:
        """Returns the key-encryption key of that id; reads the file again for one that another process has begun with.

        Raises:
            UnknownKey: the keyring has no such key.
        """
        if kek_id not in self.keys and self.path:
            self.keys.update(_sealing(_read(self.path)))
        try:
            return self.keys[kek_id]
        except KeyError:
            raise UnknownKey(f"no key {kek_id!r} in the keyring") from None

    def fingerprint(self, identity: Identity) -> bytes:
        """Keyed HMAC-SHA256 of an identity, for look-up where the identity itself must not be stored (REQ-K2)."""
        return self.hash(f"{identity.type}\0{identity.value}".encode())

    def holder(self, namespace: str, account_id: str) -> bytes:
        """Keyed HMAC-SHA256 of an account and the system that gave it, for look-up likewise."""
        return self.hash(f"holder\0{namespace}\0{account_id}".encode())

    def hash(self, content: bytes) -> bytes:
        """Returns the HMAC-SHA256 under the key for look-ups (RFC 2104).

        ``hmac.digest`` takes three times as long and hands the interpreter to another thread each time.
        """
        inner, outer = self._pads
        return sha256(outer + sha256(inner + content).digest()).digest()


def load(path: Path) -> Keyring:
    """Reads a keyring file.

    Raises:
        Misconfigured: the file is missing or cannot be used.
    """
    file = _read(path)
    return Keyring(
        active=file.active,
        keys=_sealing(file),
        lookup=file.lookup,
        claims=file.claims,
        signing=Ed25519PrivateKey.from_private_bytes(file.signing),
        path=path,
    )


def _sealing(file: _File) -> dict[str, AESGCM]:
    return {name: AESGCM(key) for name, key in file.keys.items()}


def create(path: Path, active: str = "k1") -> None:
    """Writes a new keyring, readable by its owner only.

    Raises:
        FileExistsError: there is a file already; it is left alone.
    """
    fresh = {name: os.urandom(_KEY_BYTES) for name in ("lookup", "claims", "signing")}
    _write(path, _File(active=active, keys={active: os.urandom(_KEY_BYTES)}, **fresh))


def rotate(path: Path) -> str:
    """Adds a sealing key with which new subjects are sealed from now on; old ones still open with theirs.

    Returns its id.

    Raises:
        Misconfigured: the file is no keyring; it is left alone.
    """
    file = _read(path)
    name = next(name for number in count(1 + len(file.keys)) if (name := f"k{number}") not in file.keys)
    fresh = path.with_name(f"{path.name}.new")
    _write(fresh, file.model_copy(update={"active": name, "keys": {**file.keys, name: os.urandom(_KEY_BYTES)}}))
    fresh.replace(path)  # whole or not at all: a keyring cut short would be every subject's loss
    return name


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise Misconfigured(f"no keyring at {path}: make one with `dsr key new {path}`") from None
    except OSError as error:
        raise Misconfigured(f"the keyring at {path} cannot be read ({error.strerror}): name another file") from None
    except ValidationError as error:  # its message would show the secrets
        places = ", ".join(sorted({".".join(map(str, each["loc"])) or "the whole" for each in error.errors()}))
        raise Misconfigured(f"the keyring at {path} cannot be used ({places}): make a new one or restore it") from None


def _write(path: Path, file: _File) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(file.model_dump_json(indent=1))
