"""The company's website: a PostgreSQL database with its events, partitioned by month, and its newsletters."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.company.model import Subscription, Visit
from deploy.local import postgres_databases as databases
from shared.storage.postgres import connected

ROLE = "analytics_privacy"
_SCHEMA = Path(__file__).parent / "analytics" / "schema.sql"
_COLUMNS = ("occurred_at", "client_id", "account_id", "kind", "page", "country", "device")


@dataclass(frozen=True, slots=True)
class AnalyticsStore:
    """The database: ``admin`` owns it, ``privacy`` is our adapter."""

    admin: str
    privacy: str

    async def seed(self, visits: Iterable[Visit], subscriptions: Iterable[Subscription] = ()) -> int:
        """Fill the store with these events, which are in order of time, and newsletters; how many events those are."""
        rows = [tuple(visit) for visit in visits]
        async with connected(self.admin) as connection:
            if rows:
                await connection.execute("SELECT add_months_of_events($1, $2)", rows[0][0], rows[-1][0])
                await connection.copy_records_to_table("event", records=rows, columns=_COLUMNS)
            await connection.copy_records_to_table(
                "subscription", records=[tuple(each) for each in subscriptions], columns=Subscription._fields
            )
            await connection.execute("VACUUM (ANALYZE) event, subscription")
        return len(rows)


async def create(dsn_admin: str, name: str = "analytics") -> AnalyticsStore:
    """Make the database with its tables and role, once; ``dsn_admin`` may create databases and roles."""
    return AnalyticsStore(*await databases.create_store(dsn_admin, name, ROLE, _SCHEMA.read_text(encoding="utf-8")))
