"""Deletes a service's rows about a request whose last retention period has ended."""

from collections.abc import Sequence

from shared.domain.events import RequestExpired
from shared.messaging.unit_of_work import UnitOfWork

# Read from the catalog, so that no table is forgotten. The evidence and the register outlive requests.
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE a.attname = 'request_id' AND c.relkind = 'r' AND n.nspname IN (current_schema(), 'vault', 'downstreams')
"""
_TASKS = "DELETE FROM task t USING fulfilment f WHERE f.fulfilment_id = t.fulfilment_id AND f.request_id = ANY($1)"


async def delete(events: Sequence[RequestExpired], tx: UnitOfWork) -> None:
    """Deletes what the service, the vault and the list of findings hold about these requests."""
    requests = [event.request_id for event in events]
    await tx.connection.execute(_TASKS, requests)
    for row in await tx.connection.fetch(_TABLES):
        await tx.connection.execute(f"DELETE FROM {row[0]} WHERE request_id = ANY($1)", requests)  # noqa: S608  # catalog
