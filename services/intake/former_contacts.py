"""Addresses that an account had before, as its emitter has told: whoever proves the account is searched for by them.

They are sealed, found by a keyed fingerprint of the account, and go with the account's erasure or with their period.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.intake.identity.same_person import Person
from services.intake.letters import correspondence
from services.intake.request.aggregate import Request
from services.intake.subjects import Stated, SubjectStatement
from shared.domain.identities import Identity, IdentityType
from shared.domain.levels import Level
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage.subject_data import encode_identities

_OF_ACCOUNTS = """
SELECT account, subject_ref, level, emitter, changed_at FROM former_contact
WHERE account = ANY($1) ORDER BY changed_at
"""
_LEARN = """
INSERT INTO former_contact (subject_ref, account, level, emitter, changed_at, learned_at)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_ERASED = """
DELETE FROM former_contact f USING request r WHERE r.request_id = ANY($1) AND f.account = r.proved_account
RETURNING f.subject_ref
"""


async def learn(tx: UnitOfWork, stated: Stated, emitter: str, level: Level, changed_at: object) -> None:
    """Keeps the address that an account had until then; what its token sealed stays for it."""
    [account] = (each for each in stated.said.subject.identities() if each.type is IdentityType.ACCOUNT_ID)
    mark = tx.vault.keyring.fingerprint(account)
    await tx.connection.execute(_LEARN, stated.subject_ref, mark, level, emitter, changed_at, tx.now)


async def search_too(tx: UnitOfWork, requests: Sequence[tuple[Request, Person]]) -> None:
    """Adds to each request of whoever has proved an account the addresses that it had before."""
    by_account = dict[bytes, list[Request]]()
    for request, person in requests:
        if person.account is not None:
            by_account.setdefault(person.account, []).append(request)
    rows = await tx.connection.fetch(_OF_ACCOUNTS, list(by_account)) if by_account else []
    sealed = await tx.vault.statements(tx.connection, [row["subject_ref"] for row in rows]) if rows else {}
    for account, ref, level, emitter, changed_at in rows:
        said = SubjectStatement.model_validate_json(sealed[ref])
        former = [
            replace(each, valid_to=changed_at, source=emitter, level=level)
            for each in said.subject.identities()
            if each.type is IdentityType.EMAIL
        ]
        for request in by_account[account]:
            await _add(tx, request, former, emitter)


async def forget(tx: UnitOfWork, erased: Sequence[UUID]) -> None:
    """Forgets those of the accounts that these requests have erased."""
    if erased:
        rows = await tx.connection.fetch(_ERASED, erased)
        await tx.connection.execute("DELETE FROM vault.subject WHERE subject_ref = ANY($1)", [row[0] for row in rows])


async def _add(tx: UnitOfWork, request: Request, former: Sequence[Identity], emitter: str) -> None:
    """To what the requester has stated: it must not go when systems are asked again."""
    await correspondence.seal(tx, request, "identities", "requester", encode_identities(former))
    tx.log_evidence(request.request_id, "identity.former", {"emitter": emitter, "addresses": len(former)})
