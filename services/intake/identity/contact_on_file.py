"""The contact on file is asked: of an account that somebody has named from an address that is not on file (REQ-S1).

Whoever asked is told the same, whether there is such an account, a contact, or nothing: what comes of it is on record
under an id of its own, beside the request, and no letter and no entry of the request says any of it. The contact gets a
code, which proves the account only where it is typed by whoever follows the request. Nothing is proved by a press.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from services.intake.identity import link_bounds
from services.intake.identity.assurance import identity_policy
from services.intake.identity.contact_codes import code_hash, token_hash
from services.intake.letters import correspondence, delivery
from services.intake.letters.portal_news import proved
from services.intake.letters.rendering import Letters
from services.intake.portal.settings import PortalSettings
from services.intake.repository import Requests
from services.intake.request.aggregate import Request
from services.intake.request.causes.delivery import SENT_TO
from services.intake.request.letter_kinds import LetterField
from services.intake.request.lifecycle import State
from shared.domain.events import ContactLookedUp, ContactSought
from shared.domain.identities import Identity, IdentityType
from shared.domain.identity_rules import IdentityPolicy
from shared.domain.on_file import NotAsked, named, to_ask
from shared.domain.sentences import Term
from shared.domain.wording import Language, read_languages
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import SubjectData

_TOKEN_BYTES: Final = 16
_CODES: Final = 100_000_000
_DAY: Final = timedelta(days=1)
_LOCK = "SELECT pg_advisory_xact_lock($1)"
_SEEK = """
INSERT INTO contact_asked (ask_id, request_id, named, asker, state, sought_at, until)
VALUES ($1, $2, $3, $4, 'sought', $5, $6) ON CONFLICT (request_id) DO NOTHING RETURNING true
"""
_READ = """
SELECT ask_id, request_id, named, asker, state, until, disowned_at FROM contact_asked WHERE {} FOR UPDATE
"""
_NOT_ASKED = "UPDATE contact_asked SET state = 'not_asked', reason = $2 WHERE ask_id = $1"
_WITHHELD = "UPDATE contact_asked SET reason = 'withheld' WHERE ask_id = $1"
_ASKED = "UPDATE contact_asked SET state = 'asked', reason = NULL WHERE ask_id = $1"
_CHANGED = """
SELECT EXISTS (SELECT FROM request WHERE proved_account = $1 AND "right" = 'rectification'
               AND (state <> 'closed' OR responded_at > $2 OR closed_at > $2))
"""
# What was typed does not count: its reader has shown both ends, and looks as often as they like.
_QUIET = "SELECT EXISTS (SELECT FROM contact_asked WHERE named = $1 AND disowned_at > $2)"
_SENT = """
SELECT count(*) FILTER (WHERE c.ask_id = $1 AND c.mailbox = $3),
       count(*) FILTER (WHERE a.asker = $2 AND c.mailbox = $3),
       count(*) FILTER (WHERE a.named = $4), count(*) FILTER (WHERE c.mailbox = $3)
  FROM contact_code c JOIN contact_asked a USING (ask_id)
 WHERE (c.mailbox = $3 OR a.named = $4) AND c.sent_at > $5 AND c.used_at IS NULL
"""
_INSERT = """
INSERT INTO contact_code (code_id, ask_id, token_hash, code_hash, address, mailbox, sent_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""


@dataclass(frozen=True, slots=True)
class Ask:
    """That the contact on file is asked for a request; ``named`` and ``asker``: keyed marks."""

    ask_id: UUID
    request_id: UUID
    named: bytes
    asker: bytes
    state: str
    until: datetime
    disowned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody has named that they have not proved, the address from which they ask, and where they follow it."""

    named: Identity
    asker: str
    page: str


async def wanted(tx: UnitOfWork, request: Request) -> Wanted | None:
    """What might be proved through a contact on file of what more must be proved of a request; None: nothing might.

    Only where the code can be typed: by whoever can follow the request in the portal by an address that they have shown
    to be theirs. Whoever wrote by post and gave none is answered at the address of record, which proves more.
    """
    settings, policy = PortalSettings(), identity_policy(tx.policy.overlay)
    method = policy.methods[policy.on_file.method]
    enough = request.lacks is not None and request.lacks <= method.level
    if not settings.url or not enough or request.channel not in {"portal", *SENT_TO} or request.tenant:
        return None
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref, SubjectData())
    left, asker = named(known.identities, method.proves), proved(known.identities)
    if left is None or asker is None:
        return None
    return Wanted(left, asker, f"{settings.url}/portal/{request.language}/follow")


async def seek(tx: UnitOfWork, request: Request, wanted: Wanted) -> None:
    """Has the contact on file looked up, once for each request."""
    policy = identity_policy(tx.policy.overlay)
    ask_id, until = UUID(int=uuid7().int), tx.now + timedelta(hours=policy.on_file.hours)
    marks = tx.vault.keyring.fingerprint(wanted.named), link_bounds.mailbox_mark(tx.vault.keyring, wanted.asker)
    if not await tx.connection.fetchval(_SEEK, ask_id, request.request_id, *marks, tx.now, until):
        return
    row = tx.vault.new_subject(ask_id, SubjectData((replace(wanted.named, proved_since=None),)), tx.now)
    await tx.vault.insert_subjects(tx.connection, [row])
    tx.publish(ContactSought.about(request, subject=ask_id, until=until))
    tx.log_evidence(request.request_id, "contact.sought", {"type": wanted.named.type})


async def looked_up(tx: UnitOfWork, letters: Letters, requests: Requests, events: Sequence[ContactLookedUp]) -> None:
    """Writes to the contacts that were found, where they may be asked; ``requests``: those of the events, held."""
    for event in events:
        row = await tx.connection.fetchrow(_READ.format("ask_id = $1"), event.subject)
        request = requests.get(event.request_id)
        if row and row["state"] == "sought":
            await _ask(tx, letters, Ask(*row), request)


async def again(tx: UnitOfWork, letters: Letters, requests: Requests, request_id: UUID) -> None:
    """Writes to the contacts on file of a request once more; where nobody could be asked before, nobody is."""
    row = await tx.connection.fetchrow(_READ.format("request_id = $1"), request_id)
    if row and row["state"] == "asked" and row["disowned_at"] is None:
        await _ask(tx, letters, Ask(*row), requests.get(request_id))


async def _ask(tx: UnitOfWork, letters: Letters, ask: Ask, request: Request | None) -> None:
    policy, first = identity_policy(tx.policy.overlay), ask.state == "sought"
    known = (await tx.vault.subject_data(tx.connection, [ask.ask_id])).get(ask.ask_id, SubjectData())
    lately = tx.now - timedelta(days=policy.on_file_days)
    over = request is None or (first and (request.state is not State.AWAITING_IDENTITY or tx.now >= ask.until))
    if over or request is None:
        contacts: Sequence[str] | NotAsked = "over"
    elif first and await tx.connection.fetchval(_CHANGED, ask.named, lately):
        contacts = "changed_lately"
    elif await tx.connection.fetchval(_QUIET, ask.named, tx.now - timedelta(days=policy.on_file.quiet_days)):
        contacts = "withheld"
    else:
        contacts = to_ask(known.identities, await _addresses(tx, request), policy.on_file.contacts, lately)
    if isinstance(contacts, str) or request is None:
        await _not_asked(tx, ask, str(contacts), first=first)
        return
    await tx.connection.execute(_LOCK, int.from_bytes(ask.named[:8], signed=True))
    sent = [await _write(tx, letters, (ask, request), each, policy) for each in contacts]
    if any(sent):
        await tx.connection.execute(_ASKED, ask.ask_id)
        tx.log_evidence(ask.ask_id, "contact.asked", {"contacts": sum(sent)})
        return
    if not first:
        await tx.connection.execute(_WITHHELD, ask.ask_id)
    await _not_asked(tx, ask, "withheld", first=first)


async def _not_asked(tx: UnitOfWork, ask: Ask, reason: str, *, first: bool) -> None:
    """Nobody is asked; whom a lookup has found and nobody may ask is forgotten at once."""
    tx.log_evidence(ask.ask_id, "contact.not_asked", {"reason": reason})
    if first:
        await tx.connection.execute(_NOT_ASKED, ask.ask_id, reason)
        await tx.connection.execute("DELETE FROM vault.sealed WHERE subject_ref = $1", ask.ask_id)
        await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = $1", ask.ask_id)


async def _addresses(tx: UnitOfWork, request: Request) -> set[str]:
    """The e-mail addresses that whoever asks has given."""
    known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref, SubjectData())
    return {i.value for i in known.identities if i.type is IdentityType.EMAIL and i.source == "requester"}


async def _write(
    tx: UnitOfWork, letters: Letters, about: tuple[Ask, Request], contact: str, policy: IdentityPolicy
) -> bool:
    """Writes the letter with a code to one contact; whether it did, which is not so where it would be one too many."""
    (ask, request), bounds, keyring = about, policy.on_file, tx.vault.keyring
    mailbox = link_bounds.mailbox_mark(keyring, contact)
    [counted] = await tx.connection.fetch(_SENT, ask.ask_id, ask.asker, mailbox, ask.named, tx.now - _DAY)
    most = (bounds.per_request, bounds.per_asker, bounds.per_account, bounds.per_mailbox)
    if any(sent >= at_most for sent, at_most in zip(counted, most, strict=True)):
        return False
    code_id = UUID(int=uuid7().int)
    token, code = secrets.token_urlsafe(_TOKEN_BYTES), f"{secrets.randbelow(_CODES):08}"
    address = keyring.fingerprint(Identity(IdentityType.EMAIL, contact))
    secret = (token_hash(token), code_hash(keyring, code_id, code))
    expires_at = tx.now + timedelta(hours=bounds.hours)
    await tx.connection.execute(_INSERT, code_id, ask.ask_id, *secret, address, mailbox, tx.now, expires_at)
    fields: dict[str, LetterField] = {
        "to": contact,
        "link": _not_me(request.language, token),
        "code": f"{code[:4]} {code[4:]}",
        "hours": bounds.hours,
        "right": Term("right", request.right),
    }
    anywhere = replace(request, country=None)  # where whoever asks lives is not told to others
    known = read_languages().elsewhere  # the holder may read another language than whoever asks
    also = (known, {"link": _not_me(known, token)})
    letter = correspondence.write(letters, anywhere, ("contact_on_file", fields), tx.now, also)
    await delivery.to_contact(tx, replace(letter, subject_ref=ask.ask_id))
    named: dict[str, JsonValue] = correspondence.named(letter)
    tx.log_evidence(ask.ask_id, "letter.written", named)
    return True


def _not_me(language: Language, token: str) -> str:
    """The page on which whoever got a letter says that they have asked for nothing."""
    return f"{PortalSettings().url}/portal/{language}/contact/{token}"
