"""Codes that went to a contact on file: typed where the request is followed, they prove the account; and who has typed.

Five wrong ones of a request end it, whether any was sent or not. Whoever got the letter can say by its link that they
have asked for nothing, and nothing else: no link of it proves anything.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.intake.metrics import REQUESTS
from shared.domain.identity_rules import OnFilePolicy
from shared.domain.one_person import Typed
from shared.domain.rights import Right
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection

_STOPPED = "SELECT stopped_at IS NOT NULL FROM contact_asked WHERE request_id = $1"
_ASK = "SELECT ask_id, failures, stopped_at, disowned_at FROM contact_asked WHERE request_id = $1 FOR UPDATE"
_CODES = """
SELECT code_id, code_hash, address FROM contact_code WHERE ask_id = $1 AND used_at IS NULL AND expires_at > $2
"""
_USED = "UPDATE contact_code SET used_at = $2 WHERE code_id = $1"
_FAILURES = "UPDATE contact_asked SET failures = $2, stopped_at = $3 WHERE ask_id = $1"
_GOOD = "c.token_hash = $1 AND c.expires_at > $2 AND a.disowned_at IS NULL AND c.ask_id = a.ask_id"
_LOOK = f"SELECT a.request_id FROM contact_asked a JOIN contact_code c USING (ask_id) WHERE {_GOOD}"  # noqa: S608  # constants
_DISOWN = f"""
UPDATE contact_asked a SET disowned_at = $2 FROM contact_code c WHERE {_GOOD} RETURNING a.ask_id, a.request_id
"""  # noqa: S608  # constants
_STANDING = """
SELECT a.ask_id, a.state, a.reason, a.stopped_at IS NOT NULL, a.disowned_at IS NOT NULL,
       count(c.code_id), count(c.used_at) FROM contact_asked a LEFT JOIN contact_code c USING (ask_id)
WHERE a.request_id = $1 GROUP BY a.ask_id
"""
_NAMED = "SELECT named FROM contact_asked WHERE request_id = $1"
_MARKS = """
SELECT a.named, c.address, a.disowned_at IS NULL FROM contact_asked a JOIN contact_code c USING (ask_id)
WHERE a.request_id = $1 AND c.used_at IS NOT NULL
"""
_ASKED_BY = """
SELECT a.request_id FROM delivery d JOIN contact_asked a ON a.ask_id = d.request_id
WHERE d.letter_id = ANY($1) AND d.kind = 'contact_on_file' LIMIT 1
"""
_NO_CODE: Final = UUID(int=0)
_NOT_ASKED: Final[Mapping[str, str]] = {
    "unknown": "was not asked: the source of the register knows no contact of that account whom we could ask",
    "too_many": "was not asked: the account has more contacts than the policy lets us ask",
    "changed_lately": "was not asked: a contact of the account was changed in the last days",
    "withheld": "was not asked: too much went there, or was asked for, in the last day, or somebody there has said"
    " lately that they asked for nothing",
    "over": "was not asked: nothing waited for it any more",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """How far the contact on file was asked: for the privacy team alone; who that is, nobody is told.

    ``ask_id``: under which it is on record; ``reason``: why nobody was asked; ``typed``: of how many codes.
    """

    ask_id: UUID
    state: str
    reason: str | None
    stopped: bool
    disowned: bool
    letters: int
    typed: int

    @property
    def sentence(self) -> str:
        """What the privacy team reads of it."""
        if self.state != "asked":
            return _NOT_ASKED[self.reason] if self.reason else "is being looked up"
        ended = "; somebody there says that they have asked for nothing" if self.disowned else ""
        ended = ended or ("; too many wrong codes" if self.stopped else "")
        proved = "a code was typed" if self.typed else "no code was typed"
        return f"was asked by {self.letters} letter{'s' if self.letters != 1 else ''}; {proved}{ended}"


async def asked(connection: Connection, request_id: UUID) -> Asked | None:
    """How far the contact on file was asked for a request, where it is."""
    row = await connection.fetchrow(_STANDING, request_id)
    return Asked(*row) if row else None


async def asked_by(connection: Connection, letters: Sequence[UUID]) -> UUID | None:
    """The request about which one of these letters has asked a contact on file, for the privacy team alone."""
    found: UUID | None = await connection.fetchval(_ASKED_BY, list(letters))
    return found


async def named(connection: Connection, request_id: UUID) -> bytes | None:
    """The mark of the account whose contact on file is asked for a request, if there is one; None: no account is."""
    mark: bytes | None = await connection.fetchval(_NAMED, request_id)
    return mark


async def is_stopped(connection: Connection, request_id: UUID) -> bool:
    """Whether so many codes of a request were wrong that none is good any more."""
    return bool(await connection.fetchval(_STOPPED, request_id))


async def enter(tx: UnitOfWork, policy: OnFilePolicy, request_id: UUID, right: Right, code: str) -> bytes | None:
    """The mark of the contact to which a code went, which uses that up; None if it is wrong, or good no more."""
    row = await tx.connection.fetchrow(_ASK, request_id)
    if row is None:
        return None
    ask_id: UUID = row["ask_id"]
    sent = await tx.connection.fetch(_CODES, ask_id, tx.now)
    tried = [(UUID(int=each["code_id"].int), each["code_hash"], each["address"]) for each in sent]
    # As many comparisons whether there is a code or none: how long it takes says nothing.
    tried += [(_NO_CODE, b"", b"")] * (policy.contacts * policy.per_request - len(tried))
    same = [each for each in tried if hmac.compare_digest(each[1], code_hash(tx.vault.keyring, each[0], code))]
    failures, ended = row["failures"], row["stopped_at"] or row["disowned_at"]
    if same and not ended:
        code_id, _, address = same[0]
        await tx.connection.execute(_USED, code_id, tx.now)
        await tx.connection.execute(_FAILURES, ask_id, 0, None)
        tx.log_evidence(ask_id, "contact.code_entered", {})
        return bytes(address)
    stops = row["stopped_at"] is None and failures + 1 >= policy.failures
    await tx.connection.execute(_FAILURES, ask_id, failures + 1, tx.now if stops else row["stopped_at"])
    if stops:
        tx.log_evidence(ask_id, "contact.stopped", {"failures": failures + 1})
        tx.after_commit(REQUESTS.labels(right, "identity_failed").inc)
    return None


async def look(connection: Connection, token: str, now: object) -> UUID | None:
    """The request that a letter is about, for as long as its link is good; looking uses up nothing."""
    found: UUID | None = await connection.fetchval(_LOOK, token_hash(token), now)
    return found


async def disown(tx: UnitOfWork, token: str) -> UUID | None:
    """Whoever got the letter has asked for nothing: no code of it is good any more; the request, if the link was good.

    Whoever has typed one before follows the request by it no more, and a person of ours is told (``stopped``).
    """
    row = await tx.connection.fetchrow(_DISOWN, token_hash(token), tx.now)
    if row is None:
        return None
    tx.log_evidence(row["ask_id"], "contact.disowned", {})
    return UUID(int=row["request_id"].int)


async def typed(connection: Connection, request_id: UUID) -> Typed | None:
    """Which codes of a request were typed; none of those counts once somebody has disowned it."""
    rows = await connection.fetch(_MARKS, request_id)
    return Typed(rows[0][0], frozenset(address for _, address, good in rows if good)) if rows else None


def token_hash(token: str) -> bytes:
    """What the table knows a link by: 128 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def code_hash(keyring: Keyring, code_id: UUID, code: str) -> bytes:
    """Of a code of eight digits: keyed, since anybody could try them all."""
    digits = "".join(each for each in code if each.isdecimal() and each.isascii())
    return hmac.digest(keyring.lookup, b"contact\0" + code_id.bytes + digits.encode(), "sha256")
