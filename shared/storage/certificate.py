"""The certificate of a request: what was done, signed, so that anyone can check it offline (Art. 5(2)).

``dsr certificate verify FILE`` checks one.
"""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.storage.evidence import InclusionProof, digest, merkle_root
from shared.storage.keyring import Keyring

VERSION = "dsr-certificate-1"


def build(
    request: Mapping[str, Any], entries: Sequence[asyncpg.Record], proofs: Sequence[InclusionProof], keyring: Keyring
) -> dict[str, Any]:
    """A certificate over a request's facts and its evidence entries; signed with Ed25519 over canonical JSON.

    Each entry has its path to the signature with which its service has put it on record.
    """
    content: dict[str, Any] = {
        "version": VERSION,
        "request": dict(request),
        "entries": [
            {
                **entry,
                "at": entry["at"].isoformat(),
                "request_id": str(entry["request_id"]),
                "prev_hash": entry["prev_hash"].hex(),
                "hash": entry["hash"].hex(),
                "path": [*proof.path],
                "signature": base64.b64encode(proof.signature).decode(),
            }
            for entry, proof in zip(entries, proofs, strict=True)
        ],
        "public_key": base64.b64encode(keyring.signing.public_key().public_bytes_raw()).decode(),
    }
    signature = keyring.signing.sign(_canonical(content))
    return {**content, "signature": base64.b64encode(signature).decode()}


def verify(certificate: Any, trusted_key: bytes | None = None) -> list[str]:
    """Everything that is wrong with a certificate; nothing if it holds. Raises ``ValueError`` if it is not one."""
    try:
        key = _key_of(certificate)
        content = {name: value for name, value in certificate.items() if name != "signature"}
        problems = []
        if trusted_key is not None and key.public_bytes_raw() != trusted_key:
            problems.append("it was signed with another key than the one that you trust")
        if not _signed(key, certificate["signature"], _canonical(content)):
            problems.append("the signature does not belong to this content")
        for entry in certificate["entries"]:
            problems += _entry_problems(entry, certificate["request"]["request_id"], key)
        return problems + _order_problems(certificate["entries"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"this is not a certificate of version {VERSION}") from error


def _key_of(certificate: Mapping[str, Any]) -> Ed25519PublicKey:
    if certificate["version"] != VERSION:
        raise ValueError("another version")
    return Ed25519PublicKey.from_public_bytes(_bytes(certificate["public_key"]))


def _entry_problems(entry: Mapping[str, Any], request_id: str, key: Ed25519PublicKey) -> list[str]:
    where = f"entry {entry['chain']}/{entry['seq']}"
    problems = []
    fields = (UUID(entry["request_id"]), entry["actor"], entry["action"], entry["detail"])
    prev_hash, at = bytes.fromhex(entry["prev_hash"]), datetime.fromisoformat(entry["at"])
    if digest(prev_hash, entry["chain"], entry["seq"], at, fields).hex() != entry["hash"]:
        problems.append(f"{where}: its hash does not belong to what it says")
    if entry["request_id"] != request_id:
        problems.append(f"{where}: it is about another request")
    if not _signed(key, entry["signature"], merkle_root(bytes.fromhex(entry["hash"]), entry["path"])):
        problems.append(f"{where}: the signature of its batch does not cover it")
    return problems


def _order_problems(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """An entry that is there twice, or that does not follow from the one before where both are there."""
    places = [(entry["chain"], entry["seq"]) for entry in entries]
    hashes = {place: entry["hash"] for place, entry in zip(places, entries, strict=True)}
    problems = [f"entry {chain}/{seq}: it is there twice" for (chain, seq), n in Counter(places).items() if n > 1]
    for (chain, seq), entry in zip(places, entries, strict=True):
        if hashes.get((chain, seq - 1), entry["prev_hash"]) != entry["prev_hash"]:
            problems.append(f"entry {chain}/{seq}: it does not follow from the one before")
    return problems


def _signed(key: Ed25519PublicKey, signature: str, content: bytes) -> bool:
    try:
        key.verify(_bytes(signature), content)
    except InvalidSignature:
        return False
    return True


def _bytes(text: str) -> bytes:
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not base64 in its one spelling")
    return raw


def _canonical(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
