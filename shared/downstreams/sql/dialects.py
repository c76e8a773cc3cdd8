"""What differs by the database to which a connection string leads; its code is imported when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.domain.policy import Policy
from shared.downstreams.sql.scheme import is_mariadb
from shared.downstreams.sql.settings import SqlSettings

if TYPE_CHECKING:
    from shared.downstreams.sql.adapter import SqlAdapter
    from shared.downstreams.sql.mariadb.adapter import MariaDbAdapter


def adapter_of(
    system: str, settings: SqlSettings, environment: Mapping[str, str], policy: Policy
) -> SqlAdapter | MariaDbAdapter:
    """The adapter of a store, by the policy of what is kept.

    Raises:
        Misconfigured: its dataset, or what is said of its tenants, cannot be used with it.
    """
    if is_mariadb(environment[settings.dsn_env]):
        from shared.downstreams.sql.mariadb.adapter import MariaDbAdapter  # noqa: PLC0415

        return MariaDbAdapter(system, settings, environment=environment, policy=policy)
    from shared.downstreams.sql.adapter import SqlAdapter  # noqa: PLC0415

    return SqlAdapter(system, settings, environment=environment, policy=policy)


def schema_for(dsn: str) -> str:
    """What the owner of a store runs once, for the user whom that connection string names; harmless when repeated.

    Raises:
        Misconfigured: it names none.
    """
    if is_mariadb(dsn):
        from shared.downstreams.sql.mariadb.preparation import schema_for as of_mariadb  # noqa: PLC0415

        return of_mariadb(dsn)
    from shared.downstreams.sql.preparation import schema_for as of_postgresql  # noqa: PLC0415

    return of_postgresql(dsn)
