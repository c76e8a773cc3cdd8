"""Which kind of database the URL of a store names."""

from shared.domain.errors import Misconfigured

MARIADB = frozenset({"mariadb", "mysql"})
_POSTGRESQL = frozenset({"postgres", "postgresql"})
"""Schemes of URLs."""


def is_mariadb(dsn: str) -> bool:
    """Whether it leads to a MariaDB or a MySQL.

    Raises:
        Misconfigured: it leads to no database that we know.
    """
    scheme, separator, rest = dsn.partition("://")
    if not (separator and rest and scheme in MARIADB | _POSTGRESQL):
        raise Misconfigured("holds neither a postgresql:// nor a mariadb:// URL; set it to the store's")
    return scheme in MARIADB
