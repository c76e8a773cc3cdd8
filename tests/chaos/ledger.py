"""The stores' own record of changed and removed rows, written by triggers."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import asyncpg

from deploy.local import postgres_databases as databases
from shared.storage.postgres import connected
from tests.fixtures.stores import SINCE, STORES, Stores, Subject

_LEDGER = f"""
CREATE TABLE ledger (entry bigserial PRIMARY KEY, who text NOT NULL, what text NOT NULL);
CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    was jsonb := to_jsonb(old);
    is_now jsonb := CASE tg_op WHEN 'UPDATE' THEN to_jsonb(new) END;
    what text := CASE
        WHEN (was ->> 'started_at')::timestamptz < '{SINCE.isoformat()}' THEN 'touched'
        WHEN tg_op = 'DELETE' AND (was ->> 'resolved')::date > current_date - 365 THEN 'touched'
        WHEN tg_op = 'DELETE' THEN 'removed'
        WHEN was - 'usable' = is_now - 'usable' THEN NULL
        WHEN was - 'restricted' = is_now - 'restricted' THEN
            CASE WHEN (is_now ->> 'restricted')::boolean THEN 'restricted' ELSE 'lifted' END
        WHEN was - 'marketing' = is_now - 'marketing' AND NOT (is_now ->> 'marketing')::boolean THEN 'no marketing'
        WHEN was - 'city' = is_now - 'city' THEN 'rectified'
        ELSE 'touched' END;
BEGIN
    INSERT INTO ledger (who, what)
    SELECT coalesce(was ->> 'account_id', was ->> 'caller', was ->> 'requester'), what WHERE what IS NOT NULL;
    RETURN NULL;
END $$;
"""
_TRIGGER = """
CREATE TRIGGER written_down AFTER UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION write_down()
"""
FORMER_HOLDER = """
INSERT INTO call (caller, callee, started_at, seconds)
SELECT DISTINCT caller, '+498999999999', timestamptz '2019-06-01', 60 FROM call
"""
"""Calls of each number's former holder, which are not the subject's."""


async def keep(stores: Stores) -> None:
    """Starts the triggers, and gives each number a former holder."""
    for store, dsn in stores.dsns.items():
        async with connected(dsn) as connection:
            if store == "calls":
                await connection.execute(FORMER_HOLDER)
            await connection.execute(_LEDGER + _TRIGGER.format(table=store[:-1]))


async def length(stores: Mapping[str, asyncpg.Connection]) -> int:
    """Counts the entries of all stores."""
    return sum([await each.fetchval("SELECT coalesce(max(entry), 0) FROM ledger") for each in stores.values()])


@dataclass(frozen=True)
class Ledger:
    """The records of all stores, by person; of changes in order."""

    removed: Mapping[str, Counter[int]]
    """Rows by store and the number of the subject."""
    changes: Mapping[int, list[str]]
    touched: list[int]
    """Subjects with changes that were not requested and that no right covers."""


async def read(stores: Stores) -> Ledger:
    """Returns the current record."""
    removed: dict[str, Counter[int]] = {store: Counter() for store in STORES}
    changes: dict[int, list[str]] = defaultdict(list)
    touched: list[int] = []
    for store, dsn in stores.dsns.items():
        for who, what in await databases.fetch(dsn, "SELECT who, what FROM ledger ORDER BY entry"):
            number = _number(store, who)
            if what == "removed":
                removed[store][number] += 1
            elif what == "touched":
                touched.append(number)
            else:
                changes[number].append(what)
    return Ledger(removed, changes, touched)


def _number(store: str, who: str) -> int:
    """The number of the subject, from what its rows are found by."""
    zero = Subject(0)
    match store:
        case "customers":
            return int(who.removeprefix("C"))
        case "calls":
            return int(who) - int(zero.phone)
        case _:
            return int(who.removeprefix("subject").partition("@")[0])
