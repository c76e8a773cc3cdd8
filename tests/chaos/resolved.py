"""Tickets with a time of resolution, which the retention run deletes after three years."""

from collections import Counter
from collections.abc import Mapping

from deploy.local import postgres_databases as databases
from shared.storage.postgres import connected
from tests.fixtures.stores import Stores, Subject

STORE = "tickets"
_DATED = """at = { resolved = "resolved" }
category = "ticket\""""
_PREPARE = """
ALTER TABLE ticket ADD resolved date;
CREATE TABLE resolved (number int PRIMARY KEY, who text NOT NULL, stays boolean NOT NULL)
"""
# A repeat, after an answer that was lost, lets nothing come twice.
_COME = """
WITH new AS (
    INSERT INTO resolved SELECT * FROM unnest($1::int[], $2::text[], $3::boolean[]) ON CONFLICT DO NOTHING RETURNING who
)
INSERT INTO ticket (requester, title, body, resolved)
SELECT who, 'Solved', 'Thank you.', day FROM new, unnest(ARRAY[date '2020-06-01', current_date - 30]) AS day
"""


async def prepare(stores: Stores) -> None:
    """Lets the store and what declares it know when a ticket was resolved."""
    async with connected(stores.dsns[STORE]) as connection:
        await connection.execute(_PREPARE)
    dataset = stores.downstreams.with_name(f"{STORE}.toml")
    declared = dataset.read_text().replace('category = "ticket"', _DATED)
    dataset.write_text(f'{declared}\nresolved = {{ class = "T" }}\n')


async def come(stores: Stores, stays: Mapping[int, bool]) -> None:
    """Gives each person an expired ticket, which ``stays`` or not, and a current one."""
    emails = [Subject(number).email for number in stays]
    await databases.fetch(stores.dsns[STORE], _COME, [*stays], emails, [*stays.values()])


async def due(stores: Stores) -> Counter[int]:
    """The rows that must be gone, by the number of the subject."""
    rows = await databases.fetch(stores.dsns[STORE], "SELECT number FROM resolved WHERE NOT stays")
    return Counter(row[0] for row in rows)
