"""The case sheet of a request: who asks and how that was proved, what they ask for in their words, who systems found.

It is opened from the vault each time, for those who decide about requests, and each opening is on record.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from services.intake.access.auth import Caller
from services.intake.access.grant import Power
from services.intake.actions.use_cases import visible
from services.intake.mail import inbox
from services.intake.mail.use_cases import MailUseCases
from services.intake.request.aggregate import Request
from services.intake.store import repository
from shared.domain import reference
from shared.domain.errors import Shredded
from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Change
from shared.domain.rights import NOTHING, Level, Right
from shared.messaging.unit_of_work import UnitOfWork, UnitOfWorkFactory
from shared.storage import evidence

_CONTACTS: Final = frozenset({IdentityType.EMAIL, IdentityType.PHONE, IdentityType.NAME})
_MAILS: Final = 20


class StatedIdentity(BaseModel):
    """An identity that the requester has stated."""

    type: IdentityType
    value: str
    level: Level = Field(description="how well it is proved, `L0` to `L3`")
    proved_by: list[str] = Field(description="the methods by which identities of this type were proved")
    valid_from: datetime | None
    valid_to: datetime | None


class FoundIdentity(BaseModel):
    """An identity that systems have found."""

    type: IdentityType
    value: str
    systems: list[str]
    shared: bool = Field(description="other people have it too")
    claimed: bool = Field(description="an account that a row names in a system that does not assign accounts")


class Words(BaseModel):
    """Words of the requester: the mail that became the request, or a reply."""

    kind: str = Field(description="`mail` or `reply`")
    subject: str
    text: str


class Statement(BaseModel):
    """The case sheet of a request, for those who decide about it."""

    request_id: UUID
    reference: str
    right: Right
    scope: str | None
    purposes: Sequence[str]
    identities: list[StatedIdentity]
    corrections: Sequence[Change] = Field(description="of a rectification: field, old value where known, new value")
    words: list[Words]
    accounts: list[FoundIdentity] = Field(description="accounts that systems have found")
    contacts: list[FoundIdentity] = Field(
        description="contacts on file: names, addresses and numbers that systems have"
    )
    letters_go_to: list[str]
    postal_address: list[str] = Field(description="the address of record, if one was entered")


async def read(unit_of_work: UnitOfWorkFactory, mail: MailUseCases, request_id: UUID, caller: Caller) -> Statement:
    """Opens the case sheet; the opening is on record; raises ``NotFound``, ``Forbidden``, ``Shredded``."""
    caller.must_be("privacy")
    caller.grant.must(Power.FETCH)
    async with unit_of_work.begin() as tx:
        request = await visible(tx.connection, await repository.read(tx.connection, request_id), caller)
        known = (await tx.vault.subject_data(tx.connection, [request.subject_ref])).get(request.subject_ref)
        if known is None:
            raise Shredded("the key of this person is destroyed: what they stated can no longer be read")
        methods = await _methods(tx, request_id)
        mails = await inbox.of_request(tx.connection, request.case_id or request_id, _MAILS)
        letters_go_to, postal, replies = await _correspondence(tx, request)
        tx.log_evidence(request_id, "statement.read", {"holder": caller.holder}, caller.actor)
    words: list[Words] = []
    for each in mails:
        if each.state == "confirmed":
            with suppress(Shredded):
                content = (await mail.read(each.mail_id, caller)).content
                words.append(Words(kind="mail", subject=content.subject, text=content.text))
    stated = [each for each in known.identities if each.source == "requester"]
    found = [each for each in known.identities if each.source != "requester"]
    shown = {each.value for each in stated if each.type is IdentityType.EMAIL and each.level > NOTHING}
    return Statement(
        request_id=request_id,
        reference=reference.of(request_id),
        right=request.right,
        scope=request.scope,
        purposes=request.purposes,
        identities=[_stated(each, methods) for each in stated],
        corrections=known.changes,
        words=[*words, *replies],
        accounts=_found(each for each in found if each.type not in _CONTACTS),
        contacts=_found(each for each in found if each.type in _CONTACTS),
        letters_go_to=letters_go_to if not shown or shown & {*letters_go_to} else sorted(shown),
        postal_address=postal,
    )


async def _methods(tx: UnitOfWork, request_id: UUID) -> Mapping[str, list[str]]:
    """Methods of proof by type of identity, from the evidence."""
    methods: dict[str, dict[str, None]] = {}
    for entry in await evidence.entries(tx.connection, request_id):
        for proof in orjson.loads(entry["detail"]).get("proofs", ()):
            methods.setdefault(proof["type"], {})[proof["method"]] = None
    return {kind: [*each] for kind, each in methods.items()}


async def _correspondence(tx: UnitOfWork, request: Request) -> tuple[list[str], list[str], list[Words]]:
    """Where letters go, on paper too, and what the requester has answered; nothing once letters have expired."""
    try:
        to = orjson.loads(await tx.vault.statement(tx.connection, request.request_id))["to"]
        postal = await tx.vault.open_kind(tx.connection, request.request_id, "postal_address")
        replies = await tx.vault.open_kind(tx.connection, request.request_id, "reply")
    except Shredded:
        return [], [], []
    replies_shown = [
        Words(kind="reply", subject="", text=text.decode()) for _, who, text in replies if who == "requester"
    ]
    return to, [line for *_, lines in postal for line in orjson.loads(lines)], replies_shown


def _stated(each: Identity, methods: Mapping[str, list[str]]) -> StatedIdentity:
    return StatedIdentity(
        type=each.type,
        value=each.value,
        level=each.level,
        proved_by=methods.get(each.type, []),
        valid_from=each.valid_from,
        valid_to=each.valid_to,
    )


def _found(identities: Iterable[Identity]) -> list[FoundIdentity]:
    """Each once, with every system that has found it."""
    found: dict[tuple[IdentityType, str], list[Identity]] = {}
    for each in identities:
        found.setdefault((each.type, each.value), []).append(each)
    return [
        FoundIdentity(
            type=kind,
            value=value,
            systems=sorted({each.source for each in same}),
            shared=any(each.shared for each in same),
            claimed=all(each.claimed for each in same),
        )
        for (kind, value), same in found.items()
    ]
