"""Sends links and codes to a contact: by the policy, to have one shows control of that contact (REQ-S5).

A link has 128 random bits and is used by a button, so that a mail scanner's visit uses up nothing. Wrong codes are
counted by request: after so many no code of it is good any more, only a link, and it is on record for a person.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from operator import attrgetter
from typing import Final
from uuid import UUID

import orjson
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.access import auth
from services.intake.access.auth import Caller
from services.intake.core.errors import BadRequest
from services.intake.core.metrics import REQUESTS
from services.intake.identity.proving import named
from services.intake.letters import delivery_queue, sealed_letters
from services.intake.letters.letter_facts import LetterFacts
from services.intake.request.aggregate import Request
from services.intake.request.delivery_effects import SENT_CHANNELS
from services.intake.request.letter_kinds import LetterField
from services.intake.store import repository
from services.intake.store.repository import Requests
from shared.domain.errors import IllegalTransition, Shredded
from shared.domain.identities import Identity, IdentityType, MalformedIdentity, normalise
from shared.domain.proofs import LinkPolicy
from shared.domain.rights import NOTHING
from shared.domain.sentences import FactList, Term
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage.keyring import Keyring
from shared.storage.postgres import Connection
from shared.storage.subject_data import SubjectData

_TOKEN_BYTES: Final = 16
_CODES: Final = 100_000_000
_INSERT = """
INSERT INTO proof_link (link_id, request_id, token_hash, code_hash, address, sent_at, code_until, expires_at,
                        mailbox, asker, first)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_DISOWNED = "SELECT FROM proof_link d WHERE d.request_id = l.request_id AND d.disowned_at IS NOT NULL"
_GOOD = f"l.token_hash = $1 AND l.used_at IS NULL AND l.expires_at > $2 AND NOT EXISTS ({_DISOWNED})"
_LOOK = f"SELECT l.request_id FROM proof_link l WHERE {_GOOD}"  # noqa: S608  # constants
_OPEN = f"UPDATE proof_link l SET used_at = $2 WHERE {_GOOD} RETURNING l.request_id, l.address"  # noqa: S608  # constants
_DISOWN = f"UPDATE proof_link l SET used_at = $2, disowned_at = $2 WHERE {_GOOD} RETURNING l.request_id"  # noqa: S608  # constants
_FAILED = "SELECT coalesce(sum(failures), 0), bool_or(disowned_at IS NOT NULL) FROM proof_link WHERE request_id = $1"
_RIGHT = 'SELECT "right" FROM request WHERE request_id = $1'
_SENT = "SELECT EXISTS (SELECT FROM proof_link WHERE link_id = $1)"
_END = """
UPDATE proof_link SET expires_at = $2, code_until = least(code_until, $2)
WHERE request_id = $1 AND used_at IS NULL AND expires_at > $2 RETURNING true
"""
_LIVE = (
    "SELECT token_hash, request_id FROM proof_link WHERE token_hash = ANY($1) AND used_at IS NULL AND expires_at > $2"
)
_CODE = "SELECT request_id, address, code_hash, code_until, used_at FROM proof_link WHERE link_id = $1 FOR UPDATE"


@dataclass(frozen=True, slots=True)
class UsedLink:
    """A link or code that was used: its request, and the fingerprint of its address."""

    request_id: UUID
    address: bytes


@dataclass(frozen=True, slots=True)
class ProofLinks:
    """Sends links and codes, and takes them; ``url``: the address of the portal, before the language of a page."""

    unit_of_work: UnitOfWorkFactory
    letters: LetterFacts
    policy: LinkPolicy
    url: str

    async def send(
        self, request_id: UUID, link_id: UUID, portal: Caller | None = None, asker: str | None = None
    ) -> None:
        """Writes the letter with a link and a code to the contact of a request, if there is one that may have it.

        Nothing is sent for an unknown request, one without an e-mail address, or one above the limit of an hour
        (``link_bounds``); the answer does not say which. ``portal``: then of no request of another channel either,
        unless it came by e-mail or by post. ``asker``: from where they ask. ``link_id``: that of the form by which it
        is asked for; sent twice it has one letter.
        """
        async with self.unit_of_work.begin() as tx:
            if portal is None or await is_visible_in_portal(tx.connection, request_id, portal):
                await self.write(tx, request_id, link_id, typed=True, asker=asker)

    async def write(
        self, tx: UnitOfWork, request_id: UUID, link_id: UUID, *, typed: bool = False, asker: str | None = None
    ) -> None:
        """Does what ``send`` does in a unit of work that does something else too.

        ``typed``: a page waits for the code; else the letter tells none.
        """
        requests = await Requests.locked(tx, self.letters, [request_id])
        request = requests.get(request_id)
        if request is None or await tx.connection.fetchval(_SENT, link_id):  # locked before, so one after the other
            return
        if request.tenant is None and (address := await _address(tx, request)):
            await self._send(tx, request, link_id, (address, asker), typed=typed)

    async def write_to(self, tx: UnitOfWork, request: Request, address: str) -> None:
        """Writes the letter with a link to an address that staff have looked up."""
        await self._send(tx, request, uuid7(), (address, None), typed=False)

    async def find_request(self, token: str) -> UUID | None:
        """Returns the request of a valid link without using it up."""
        async with self.unit_of_work.pool.acquire() as connection:
            found: UUID | None = await connection.fetchval(_LOOK, _hash(token), self.unit_of_work.clock.now())
            return found

    async def disown(self, token: str) -> bool:
        """Ends every link and code of a request that its recipient has disowned; returns whether the link was good.

        Only our staff learn of it (``stopped``).
        """
        async with self.unit_of_work.begin() as tx:
            request_id = await tx.connection.fetchval(_DISOWN, _hash(token), tx.now)
            if request_id:
                tx.log_evidence(request_id, "proof.disowned", {})
            return request_id is not None

    async def open(self, token: str) -> UsedLink | None:
        """Uses a link, and returns its request; None if it is unknown, used or expired."""
        async with self.unit_of_work.begin() as tx:
            row = await tx.connection.fetchrow(_OPEN, _hash(token), tx.now)
            if row is None:
                return None
            tx.log_evidence(row["request_id"], "proof.link_used", {})
            return UsedLink(*row)

    async def enter(self, link_id: UUID, code: str) -> UsedLink | None:
        """Checks a code, and uses up its link; None if it is wrong or expired."""
        async with self.unit_of_work.begin() as tx:
            row = await tx.connection.fetchrow(_CODE, link_id)
            if row is None:
                return None
            request_id: UUID = row["request_id"]
            failed, disowned = await _failures(tx, request_id)
            good = row["used_at"] is None and row["code_until"] > tx.now and failed < self.policy.failures
            good = good and not disowned
            if good and hmac.compare_digest(row["code_hash"], _code_hash(tx, link_id, code)):
                await tx.connection.execute("UPDATE proof_link SET used_at = $2 WHERE link_id = $1", link_id, tx.now)
                tx.log_evidence(request_id, "proof.code_entered", {})
                return UsedLink(request_id, row["address"])
            await tx.connection.execute("UPDATE proof_link SET failures = failures + 1 WHERE link_id = $1", link_id)
            if failed + 1 == self.policy.failures:
                tx.log_evidence(request_id, "proof.stopped", {"failures": self.policy.failures})
                right = await tx.connection.fetchval(_RIGHT, request_id)
                tx.after_commit(REQUESTS.labels(right, "identity_failed").inc)
            return None

    async def proved_by(self, used: UsedLink, requests: Sequence[Request]) -> list[UUID]:
        """Those of the requests that state the address to which the link went: of these, and no other, it is proved."""
        async with self.unit_of_work.begin() as tx:
            known = await tx.vault.subject_data(tx.connection, [each.subject_ref for each in requests])
            return [
                each.request_id
                for each in requests
                if (stated := _stated_email(known.get(each.subject_ref)))
                and tx.vault.keyring.fingerprint(stated) == used.address
            ]

    async def is_first_use(self, token_id: str) -> bool:
        """Records a token of the customer portal; returns whether it is its first use."""
        async with self.unit_of_work.begin() as tx:
            take = "INSERT INTO used_token (token_hash, used_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
            done: str = await tx.connection.execute(take, _hash(token_id), tx.now)
            return done.endswith(" 1")

    async def _send(
        self, tx: UnitOfWork, request: Request, link_id: UUID, way: tuple[str, str | None], *, typed: bool
    ) -> None:
        """``way``: to which address, and by whom it is asked for."""
        address, asker = way
        mark = tx.vault.keyring.fingerprint(Identity(IdentityType.EMAIL, address))
        failed, disowned = await _failures(tx, request.request_id)
        if disowned:
            tx.log_evidence(request.request_id, "proof.link_withheld", {"reason": "disowned"})
            return
        bound = await count_sending(tx, self.policy, request.request_id, address, asker)
        if bound is None:
            tx.log_evidence(request.request_id, "proof.link_withheld", {"reason": "too_many"})
            return
        typed = typed and failed < self.policy.failures  # no code of it is good any more
        token, code = secrets.token_urlsafe(_TOKEN_BYTES), f"{secrets.randbelow(_CODES):08}"
        code_until = tx.now + timedelta(minutes=self.policy.code_minutes)
        expires_at = tx.now + timedelta(hours=self.policy.hours)
        known = (link_id, request.request_id, _hash(token), _code_hash(tx, link_id, code), mark)
        by = (bound.mailbox, bound.asker, bound.first)
        await tx.connection.execute(_INSERT, *known, tx.now, code_until, expires_at, *by)
        link = f"{self.url}/{request.language}/prove/{token}"
        together = await _case_of(tx, request)
        fields: dict[str, LetterField] = {
            "to": address,
            "link": link,
            "code": f"{code[:4]} {code[4:]}" if typed else "",
            "minutes": self.policy.code_minutes,
            "hours": self.policy.hours,
            "rights": FactList(tuple(Term("right", each.right) for each in together)),
            "about": "" if any(each.begins_by_proof for each in together) else "begun",
        }
        letter = sealed_letters.compose(self.letters, request, ("proof_link", fields), tx.now)
        await delivery_queue.store_letters(tx, self.letters, [delivery_queue.NewLetter(request, letter)])
        named: dict[str, JsonValue] = sealed_letters.letter_evidence(letter)
        tx.log_evidence(request.request_id, "letter.written", named)


async def end(tx: UnitOfWork, request_id: UUID) -> None:
    """Ends every link and code that was sent so far for a request: another person may have read it."""
    if await tx.connection.fetch(_END, request_id, tx.now):
        tx.log_evidence(request_id, "proof.links_ended", {"reason": "quoted"})


async def end_links(tx: UnitOfWork, tokens: Collection[str]) -> list[str]:
    """Ends the links of every request of which one is about to be shown; returns the tokens that were good."""
    by_hash = {_hash(each): each for each in tokens}
    found = await tx.connection.fetch(_LIVE, list(by_hash), tx.now) if by_hash else []
    for request_id in sorted({row["request_id"] for row in found}):
        await end(tx, request_id)
    return [by_hash[row["token_hash"]] for row in found]


async def _failures(tx: UnitOfWork, request_id: UUID) -> tuple[int, bool]:
    """Counts the wrong codes of a request, and says whether its recipient has disowned it."""
    [(failed, disowned)] = await tx.connection.fetch(_FAILED, request_id)
    return failed, bool(disowned)


async def _case_of(tx: UnitOfWork, request: Request) -> Sequence[Request]:
    """Returns the rights of the same message: the letter names all that its link confirms."""
    return await repository.read_case(tx.connection, request.case_id) if request.case_id else [request]


async def is_visible_in_portal(connection: Connection, request_id: UUID, portal: Caller) -> bool:
    """Returns whether the portal submitted the request, or it came by e-mail or post: other channels' are not shown."""
    request = await repository.read(connection, request_id)
    if request is None:
        return False
    return request.channel in SENT_CHANNELS or await auth.same_channel(connection, portal, request.key_id)


def _stated_email(known: SubjectData | None) -> Identity | None:
    """The e-mail address of which a request can be proved."""
    return named([each for each in known.identities if each.source == "requester"], "email") if known else None


async def _address(tx: UnitOfWork, request: Request) -> str | None:
    """The e-mail address that the requester has given; of an erasure that is done, the one to which letters went."""
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    if known is not None:
        stated = [i for i in known.identities if i.source == "requester" and i.type is IdentityType.EMAIL]
        best = sorted(stated, key=attrgetter("level"), reverse=True)  # what is proved comes first
        given = [each.value for each in best if _is_address(each.value)]
    else:
        try:
            given = orjson.loads(await tx.vault.statement(tx.connection, request.request_id))["to"][-1:]
        except Shredded:
            return None
    return next((each for each in given if _is_address(each)), None)


def _is_address(value: str) -> bool:
    try:
        return normalise(IdentityType.EMAIL, value, None) == value
    except MalformedIdentity:
        return False


def _hash(token: str) -> bytes:
    """Hashes the secret of a link: 128 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def _code_hash(tx: UnitOfWork, link_id: UUID, code: str) -> bytes:
    """Hashes a code of eight digits with a key, since all of them can be tried."""
    digits = "".join(each for each in code if each.isdecimal() and each.isascii())
    return hmac.digest(tx.vault.keyring.lookup, b"code\0" + link_id.bytes + digits.encode(), "sha256")


METHOD: Final = "contact_on_file"
"""The method of the policy, and the kind of the sealed address."""
_FIELD: Final = "contact_on_file"


async def send_to_contact_on_file(tx: UnitOfWork, request: Request, links: ProofLinks, address: str) -> None:
    """Seals the address with the letters of the request, and sends a proof link there.

    A staff member who enters an address of their own would get the data of another: so, as with proof by hand, a second
    person must look the address up and approve it.

    Raises ``BadRequest``, ``IllegalTransition``.
    """
    request.require_controller()
    try:
        contact = normalise(IdentityType.EMAIL, address)
    except MalformedIdentity:
        raise BadRequest("that is no e-mail address: write it as ada@example.org", _FIELD) from None
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
    stated = [each for each in known.identities if each.source == "requester"] if known else []
    if not any(each.type is IdentityType.ACCOUNT_ID for each in stated):
        raise BadRequest("the request names no account, so no contact is on file for it: leave it out", _FIELD)
    if any(each.level > NOTHING for each in stated):
        raise IllegalTransition("a part of the request is proved: revoke that proof first (revoke-proof)")
    await sealed_letters.seal_text(tx, request, METHOD, "", contact.encode())
    await links.write_to(tx, request, contact)


async def contact_of_link(tx: UnitOfWork, used: UsedLink) -> Identity | None:
    """Returns the contact on file to which the link went; None where it went to an address that the requester gave."""
    for _, _, content in await tx.vault.open_kind(tx.connection, used.request_id, METHOD):
        contact = Identity(IdentityType.EMAIL, content.decode(), source="requester")
        if tx.vault.keyring.fingerprint(contact) == used.address:
            return contact
    return None


_HOUR: Final = timedelta(hours=1)
_DOTTED: Final = frozenset({"gmail.com", "googlemail.com"})
"""Where a dot in the local part makes no other mailbox."""
_LOCK = "SELECT pg_advisory_xact_lock($1)"
_SENT_LATELY = """
SELECT count(*) FILTER (WHERE request_id = $1),
       count(*) FILTER (WHERE mailbox = $2 AND asker = $3 AND first = $4),
       count(*) FILTER (WHERE mailbox = $2)
  FROM proof_link WHERE (request_id = $1 OR mailbox = $2) AND sent_at > $5
"""
_IS_FIRST = "SELECT NOT EXISTS (SELECT FROM proof_link WHERE request_id = $1)"
_WITHHELD = "INSERT INTO proof_withheld (request_id, withheld_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_SENT_AFTER_ALL = "DELETE FROM proof_withheld WHERE request_id = $1"


@dataclass(frozen=True, slots=True)
class SendingMarks:
    """The keys by which letters with a link are counted: the mailbox, and the asker (each day another one)."""

    mailbox: bytes
    asker: bytes | None
    first: bool


def mailbox_of(address: str) -> str:
    """The mailbox of an address: what follows a plus makes no other one (RFC 5233), nor do dots where it is known."""
    local, _, domain = address.rpartition("@")
    local = local.partition("+")[0] or local
    return f"{local.replace('.', '') if domain in _DOTTED else local}@{domain}"


async def count_sending(
    tx: UnitOfWork, policy: LinkPolicy, request_id: UUID, address: str, asker: str | None
) -> SendingMarks | None:
    """Counts another letter of that request to that address; None: it is one too many, and is withheld.

    ``asker``: the network address of the caller; None: our staff.
    """
    keyring: Keyring = tx.vault.keyring
    mailbox = mailbox_mark(keyring, address)
    await tx.connection.execute(_LOCK, int.from_bytes(mailbox[:8], signed=True))
    who = _mark(keyring, f"asker {tx.now.date()}", asker) if asker else None
    first: bool = await tx.connection.fetchval(_IS_FIRST, request_id)
    [row] = await tx.connection.fetch(_SENT_LATELY, request_id, mailbox, who, first, tx.now - _HOUR)
    of_request, by_asker, to_mailbox = row
    if max(of_request, by_asker) >= policy.per_hour or to_mailbox >= policy.per_mailbox:
        await tx.connection.execute(_WITHHELD, request_id, tx.now)
        return None
    await tx.connection.execute(_SENT_AFTER_ALL, request_id)
    return SendingMarks(mailbox, who, first)


def mailbox_mark(keyring: Keyring, address: str) -> bytes:
    """The keyed mark of a mailbox."""
    return _mark(keyring, "mailbox", mailbox_of(address))


def _mark(keyring: Keyring, kind: str, value: str) -> bytes:
    return hmac.digest(keyring.lookup, f"{kind}\0{value}".encode(), "sha256")
