"""Erases again the people whom a store restored from a backup has brought back (REQ-B3).

The vault does not know them any more: contact points in the store are compared by keyed hash with those of erased
people. So it covers the e-mail addresses and numbers that were put on the suppression list by an erasure.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from pydantic import JsonValue
from uuid_utils.compat import uuid7

from shared.domain.identities import Identity, IdentityType
from shared.domain.operations import Operation
from shared.domain.rights import Right
from shared.fulfilment.fulfilments import Fulfilments
from shared.fulfilment.store import NewFulfilment
from shared.messaging.unit_of_work import UnitOfWork
from shared.storage import suppression
from shared.storage.keyring import Keyring
from shared.storage.subject_data import SubjectData
from shared.storage.suppression import CHANNELS
from shared.systems.protocols import Listable

_DUE = timedelta(days=1)
# Who held a number when its data were erased held it since then.
_HELD = """
SELECT DISTINCT ON (identity) identity, valid_from, valid_to FROM register.assignment
WHERE identity = ANY($1) AND valid_from <= $2 AND line = 'personal' ORDER BY identity, valid_from DESC
"""
BroughtBack = Mapping[UUID, set[Identity]]
"""The contact points of erased people in a restored store, by the request of the erasure."""


async def find(pool: asyncpg.Pool, keyring: Keyring, store: Listable, restored_to: datetime) -> BroughtBack:
    """Returns who was erased after the backup was made and is in the store; changes nothing.

    A number that another person got since is not theirs.
    """
    found = defaultdict[UUID, set[Identity]](set)
    async for page in store.everybody():
        points = {keyring.fingerprint(each): each for person in page for each in person if each.type in CHANNELS}
        async with pool.acquire() as connection:
            for entry, since in await suppression.entries(connection, points):
                if entry.right is Right.ERASURE and since > restored_to:
                    periods = {row[0]: row[1:] for row in await connection.fetch(_HELD, [entry.fingerprint], since)}
                    valid_from, valid_to = periods.get(entry.fingerprint, (None, None))
                    point = points[entry.fingerprint]
                    if point.type is IdentityType.PHONE:
                        point = replace(point, valid_from=valid_from, valid_to=valid_to)
                    found[entry.request_id].add(point)
    return found


async def erase(
    tx: UnitOfWork, fulfilments: Fulfilments, system: str, found: BroughtBack, restored_to: datetime
) -> None:
    """Opens an erasure in that system for each of them, with a key of its own that goes once it is done."""
    subjects, new = [], []
    for request_id, points in found.items():
        known = SubjectData(tuple(replace(each, level="L3", proved_since=tx.now) for each in points))
        subject_ref = uuid7()
        subjects.append(tx.vault.new_subject(subject_ref, known, tx.now))
        due_on = (tx.now + _DUE).date()
        facts = (request_id, subject_ref, Right.ERASURE, Operation.ERASE, due_on)
        new.append(NewFulfilment(*facts, {"repair": True}, frozenset({system})))
        detail: dict[str, JsonValue] = {"system": system, "restored_to": restored_to.isoformat()}
        tx.log_evidence(request_id, "erasure.repeated", {**detail, "contact_points": len(points)})
    await tx.vault.insert_subjects(tx.connection, subjects)
    await fulfilments.open_all(tx, new)
