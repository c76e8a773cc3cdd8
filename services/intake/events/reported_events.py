"""Handles user events that only report: a closed account, or a new holder of a number."""

from typing import assert_never

from pydantic import JsonValue

from services.intake.core.errors import EventRefused
from services.intake.core.instants import Instants
from services.intake.events.subject_tokens import SubjectStatement, TokenContent
from shared.domain.assignments import AssignedNumber, Line, RegisterConflict
from shared.domain.identities import Identity, IdentityType
from shared.domain.user_events import (
    AccountClosed,
    Emitter,
    NumberAssigned,
    NumberPorted,
    NumberReleased,
    Reported,
)
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import register
from shared.storage.register_changes import ReportedNumber

_ACTION = {NumberAssigned: "assigned", NumberReleased: "released", NumberPorted: "ported"}
_CLOSED = """
INSERT INTO closed_account (account, closed_at, emitter, learned_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (account) DO UPDATE SET closed_at = $2, emitter = $3, learned_at = $4
"""


class SubjectUnfit(EventRefused):
    """The identities behind the token are not those that an event of this type needs."""


async def record_reported(
    tx: UnitOfWork, name: str, emitter: Emitter, event: Reported, stated: TokenContent, instants: Instants
) -> None:
    """Records a reported event; raises ``BadRequest``, ``SubjectUnfit``, ``RegisterUnfilled``."""
    match event:
        case AccountClosed():
            instants.happened(event.closed_at, tx.now, "closed_at")
            account = _account(stated.statement)
            mark = tx.vault.keyring.fingerprint(account)
            await tx.connection.execute(_CLOSED, mark, event.closed_at, name, tx.now)
            _log_evidence(tx, stated, name, "account.closed", closed_at=event.closed_at.isoformat())
        case NumberAssigned() | NumberReleased() | NumberPorted():
            conflict = await _update_register(tx, name, emitter, event, stated)
            kind = conflict.kind.value if conflict else None
            _log_evidence(tx, stated, name, "number.reported", event=_ACTION[type(event)], conflict=kind)
        case _:
            assert_never(event)


async def _update_register(
    tx: UnitOfWork,
    name: str,
    emitter: Emitter,
    event: NumberAssigned | NumberReleased | NumberPorted,
    stated: TokenContent,
) -> RegisterConflict | None:
    """Updates the number register; records and returns a conflict, if any."""
    account, number = _account(stated.statement), _one_number(stated.statement)
    assigned = AssignedNumber(number, account.value)
    reported = await ReportedNumber.of(
        tx.connection, tx.vault.keyring, assigned, emitter.authoritative or "", name, tx.now
    )
    conflict = await _change_register(reported, event)
    if conflict:
        await register.record_conflicts(tx.connection, [(stated.token, conflict)], tx.now)
    return conflict


async def _change_register(
    number: ReportedNumber, event: NumberAssigned | NumberReleased | NumberPorted
) -> RegisterConflict | None:
    match event:
        case NumberAssigned():
            return await number.assigned(event.since, Line(event.line))
        case NumberPorted(direction="in"):
            return await number.assigned(event.at, Line.PERSONAL)
        case NumberPorted():
            return await number.released(event.at)
        case NumberReleased():
            return await number.released(event.until)


def _account(statement: SubjectStatement) -> Identity:
    """Returns the one account that is named; numbers may stand next to it."""
    found = {each.type: each for each in statement.subject.identities()}
    if found.keys() - {IdentityType.PHONE, IdentityType.SIP_URI} != {IdentityType.ACCOUNT_ID}:
        raise SubjectUnfit("post account_id, and nothing else, for an event of this type")
    return found[IdentityType.ACCOUNT_ID]


def _one_number(statement: SubjectStatement) -> Identity:
    found = [each for each in statement.subject.identities() if each.type is not IdentityType.ACCOUNT_ID]
    if len(found) != 1 or found[0].type not in {IdentityType.PHONE, IdentityType.SIP_URI}:
        raise SubjectUnfit("post one account_id and one number, and nothing else, for an event of this type")
    return found[0]


def _log_evidence(tx: UnitOfWork, stated: TokenContent, name: str, action: str, **detail: JsonValue) -> None:
    tx.log_evidence(stated.token, action, {"emitter": name, **detail}, stated.caller.actor)
