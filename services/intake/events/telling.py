"""Events that ask for nothing: an account was closed, or the holder of a number has changed."""

from typing import assert_never

from pydantic import JsonValue

from services.intake.core.errors import EventRefused
from services.intake.core.instants import Instants
from services.intake.events.subjects import Stated, SubjectStatement
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


async def tell(
    tx: UnitOfWork, name: str, emitter: Emitter, event: Reported, stated: Stated, instants: Instants
) -> None:
    """Puts on record what an emitter reports; raises ``BadRequest``, ``SubjectUnfit``, ``RegisterUnfilled``."""
    match event:
        case AccountClosed():
            instants.happened(event.closed_at, tx.now, "closed_at")
            account = _account(stated.said)
            mark = tx.vault.keyring.fingerprint(account)
            await tx.connection.execute(_CLOSED, mark, event.closed_at, name, tx.now)
            _note(tx, stated, name, "account.closed", closed_at=event.closed_at.isoformat())
        case NumberAssigned() | NumberReleased() | NumberPorted():
            conflict = await _register(tx, name, emitter, event, stated)
            kind = conflict.kind.value if conflict else None
            _note(tx, stated, name, "number.reported", event=_ACTION[type(event)], conflict=kind)
        case _:
            assert_never(event)


async def _register(
    tx: UnitOfWork, name: str, emitter: Emitter, event: NumberAssigned | NumberReleased | NumberPorted, stated: Stated
) -> RegisterConflict | None:
    """Brings the register up to it, or notes the conflict."""
    account, number = _account(stated.said), _one_number(stated.said)
    assigned = AssignedNumber(number, account.value)
    of = await ReportedNumber.of(tx.connection, tx.vault.keyring, assigned, emitter.authoritative or "", name, tx.now)
    conflict = await _changed(of, event)
    if conflict:
        await register.note_conflicts(tx.connection, [(stated.token, conflict)], tx.now)
    return conflict


async def _changed(
    of: ReportedNumber, event: NumberAssigned | NumberReleased | NumberPorted
) -> RegisterConflict | None:
    match event:
        case NumberAssigned():
            return await of.assigned(event.since, Line(event.line))
        case NumberPorted(direction="in"):
            return await of.assigned(event.at, Line.PERSONAL)
        case NumberPorted():
            return await of.released(event.at)
        case NumberReleased():
            return await of.released(event.until)


def _account(said: SubjectStatement) -> Identity:
    """Returns the one account that is named; numbers may stand next to it."""
    found = {each.type: each for each in said.subject.identities()}
    if found.keys() - {IdentityType.PHONE, IdentityType.SIP_URI} != {IdentityType.ACCOUNT_ID}:
        raise SubjectUnfit("post account_id, and nothing else, for an event of this type")
    return found[IdentityType.ACCOUNT_ID]


def _one_number(said: SubjectStatement) -> Identity:
    found = [each for each in said.subject.identities() if each.type is not IdentityType.ACCOUNT_ID]
    if len(found) != 1 or found[0].type not in {IdentityType.PHONE, IdentityType.SIP_URI}:
        raise SubjectUnfit("post one account_id and one number, and nothing else, for an event of this type")
    return found[0]


def _note(tx: UnitOfWork, stated: Stated, name: str, action: str, **detail: JsonValue) -> None:
    tx.log_evidence(stated.token, action, {"emitter": name, **detail}, stated.caller.actor)
