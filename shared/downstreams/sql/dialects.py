"""Which database a connection string leads to, and what differs by that."""

from collections.abc import Mapping

from shared.domain.errors import Misconfigured
from shared.domain.policy import Policy
from shared.downstreams.sql import preparation
from shared.downstreams.sql.adapter import SqlAdapter
from shared.downstreams.sql.mariadb import preparation as mariadb_preparation
from shared.downstreams.sql.mariadb.adapter import MariaDbAdapter
from shared.downstreams.sql.mariadb.connection import SCHEMES
from shared.downstreams.sql.settings import SqlSettings

_POSTGRESQL = frozenset({"postgres", "postgresql"})


def is_mariadb(dsn: str) -> bool:
    """Whether it leads to a MariaDB or a MySQL.

    Raises:
        Misconfigured: it leads to no database that we know.
    """
    scheme, separator, rest = dsn.partition("://")
    if not (separator and rest and scheme in SCHEMES | _POSTGRESQL):
        raise Misconfigured("holds neither a postgresql:// nor a mariadb:// URL; set it to the store's")
    return scheme in SCHEMES


def adapter_of(
    system: str, settings: SqlSettings, environment: Mapping[str, str], policy: Policy
) -> SqlAdapter | MariaDbAdapter:
    """The adapter of a store, by the policy of what is kept.

    Raises:
        Misconfigured: its dataset, or what is said of its tenants, cannot be used with it.
    """
    if is_mariadb(environment[settings.dsn_env]):
        return MariaDbAdapter(system, settings, environment=environment, policy=policy)
    return SqlAdapter(system, settings, environment=environment, policy=policy)


def schema_for(dsn: str) -> str:
    """What the owner of a store runs once, for the user whom that connection string names; harmless when repeated.

    Raises:
        Misconfigured: it names none.
    """
    return mariadb_preparation.schema_for(dsn) if is_mariadb(dsn) else preparation.schema_for(dsn)
