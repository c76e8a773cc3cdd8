"""Subject tokens: identities that are posted and sealed, so that an event can name a person without saying who it is.

A token is good for one event of the service whose key posted it. What is sealed goes when that event was handled, or
when the token expires unread.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, Field
from uuid_utils.compat import uuid7

from services.intake.access import auth
from services.intake.access.auth import Caller
from services.intake.core.errors import SubjectExpired, SubjectOfAnother, SubjectUnknown, SubjectUsed
from services.intake.core.schemas import PROOFS_OF, Assurance, Instant, Proofs, Strict
from services.intake.core.subject_schemas import DataSubject
from services.intake.submission.schemas import Changes
from shared.messaging.unit_of_work import UnitOfWork


class SubjectStatement(Strict):
    """The subject of later events: identities and proofs, as in a submission."""

    subject: DataSubject
    changes: Changes = Field(default=(), description="of a rectification, and only there: what is to be corrected")
    assurance: Assurance | None = Field(default=None, description="without this and `proofs` nothing is proved")
    proofs: Proofs = Field(default=(), description=PROOFS_OF)


class Token(BaseModel):
    """The field by which an event names the person."""

    subject: UUID = Field(description="good for one event; the id of the request that it asks for, if it does")
    expires_at: Instant = Field(description="if no event has named it by then, what was posted is gone")


@dataclass(frozen=True, slots=True)
class TokenContent:
    """The sealed content of a token: the statement, its time, and the caller who posted it."""

    token: UUID
    subject_ref: UUID
    statement: SubjectStatement
    stated_at: datetime
    caller: Caller


async def seal_statement(tx: UnitOfWork, caller: Caller, posted: SubjectStatement, lasts: timedelta) -> Token:
    """Seals a statement, and returns its token; proofs without a time get the current one."""
    dated = tuple(each.model_copy(update={"proved_at": each.proved_at or tx.now}) for each in posted.proofs)
    content = posted.model_copy(update={"proofs": dated}).model_dump_json(exclude_none=True).encode()
    token, ref = uuid7(), uuid7()
    row, _ = tx.vault.new_record(ref, content, (), tx.now)
    await tx.vault.insert_subjects(tx.connection, [row])
    values = (token, ref, caller.key_id, tx.now, tx.now + lasts)
    await tx.connection.execute(
        "INSERT INTO subject_token (token, subject_ref, key_id, stated_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        *values,
    )
    tx.log_evidence(token, "subject.stated", {}, caller.actor)
    return Token(subject=token, expires_at=tx.now + lasts)


class Tokens:
    """Locks the tokens of a batch of events until the unit of work ends."""

    def __init__(self, found: Mapping[UUID, TokenContent], faults: Mapping[UUID, Exception]) -> None:
        self._found = found
        self._faults = faults

    @classmethod
    async def locked(cls, tx: UnitOfWork, tokens: Iterable[UUID], emitter: str) -> "Tokens":
        """Locks the tokens that the emitter may use; remembers the fault of each other one."""
        rows = await tx.connection.fetch(
            "SELECT token, subject_ref, key_id, stated_at, expires_at, used_at FROM subject_token"
            " WHERE token = ANY($1) ORDER BY token FOR UPDATE",
            list(set(tokens)),
        )
        callers = await auth.callers(tx.connection, (row["key_id"] for row in rows), tx.now)
        sealed = await tx.vault.statements(tx.connection, (row["subject_ref"] for row in rows))
        found, faults = dict[UUID, TokenContent](), dict[UUID, Exception]()
        for token, ref, key_id, stated_at, expires_at, used_at in rows:
            caller = callers.get(key_id)
            if caller is None or caller.holder != emitter:
                faults[token] = SubjectOfAnother("it was posted with no valid key whose holder is this emitter")
            elif used_at is not None:
                faults[token] = SubjectUsed("its event was handled: post the identities again for another event")
            elif expires_at <= tx.now or ref not in sealed:
                faults[token] = SubjectExpired("post the identities again, and send the event sooner")
            else:
                statement = SubjectStatement.model_validate_json(sealed[ref])
                found[token] = TokenContent(token, ref, statement, stated_at, caller)
        return cls(found, faults)

    def __getitem__(self, token: UUID) -> TokenContent:
        """Returns the content of a token, or raises its fault."""
        if fault := self._faults.get(token):
            raise fault
        if token not in self._found:
            raise SubjectUnknown("post the identities first (POST /v1/subjects), and send the token that is answered")
        return self._found[token]


async def use_up(tx: UnitOfWork, stated: Iterable[TokenContent]) -> None:
    """Uses up tokens whose events were handled, and deletes what they sealed."""
    every = list(stated)
    tokens = [each.token for each in every]
    await tx.connection.execute("UPDATE subject_token SET used_at = $2 WHERE token = ANY($1)", tokens, tx.now)
    refs = [each.subject_ref for each in every]
    await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", refs)
