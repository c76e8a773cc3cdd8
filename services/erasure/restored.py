"""Finds the people whom a store restored from a backup has brought back after their erasure (REQ-B3).

The vault does not know them any more: contact points in the store are compared by keyed hash with those of erased
people. So it covers the e-mail addresses and numbers that were put on the suppression list by an erasure.
"""

from datetime import datetime
from uuid import UUID

import asyncpg

from shared.domain.rights import Right
from shared.storage import suppression
from shared.storage.keyring import Keyring
from shared.storage.suppression import CHANNELS
from shared.systems.protocols import Listable


async def find(pool: asyncpg.Pool, keyring: Keyring, store: Listable, restored_to: datetime) -> set[UUID]:
    """Returns the erasures after that moment whose people are in the store; changes nothing.

    A number that another person got since is not theirs. A person who came back as a customer is in it too.
    """
    found = set[UUID]()
    async for page in store.everybody():
        points = {keyring.fingerprint(each) for person in page for each in person if each.type in CHANNELS}
        async with pool.acquire() as connection:
            for entry, since in await suppression.entries(connection, points):
                if entry.right is Right.ERASURE and since > restored_to:
                    found.add(entry.request_id)
    return found
