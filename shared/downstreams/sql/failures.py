"""What PostgreSQL's own errors mean to a task: try again later, or a person must look."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from shared.domain.errors import ColumnUnmapped, Refused, SignInRefused, SystemRefused, TableMissing, Unavailable
from shared.downstreams.sql.preparation import unprepared

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.ObjectInUseError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InternalClientError,
)


_MISUSED = ("the server expects", "the number of query arguments", "query argument")
"""How asyncpg begins to say that a statement and its arguments do not fit: no outage, though of the same class."""


@contextmanager
def translated(system: str) -> Iterator[None]:
    """Raise what a task understands instead of what the driver says; no message of the server, which may quote rows."""
    try:
        yield
    except asyncpg.UndefinedTableError as missing:
        raise _missing(system, missing) from missing
    except asyncpg.UndefinedColumnError as missing:
        raise ColumnUnmapped(f"{system}: a declared column does not exist") from missing
    except asyncpg.InsufficientPrivilegeError:
        raise SignInRefused(f"{system} does not give this role a right that it needs") from None
    except asyncpg.InvalidAuthorizationSpecificationError:
        raise SignInRefused(
            f"{system} does not let this role in: correct the user or the password in its connection string"
        ) from None
    except asyncpg.InvalidCatalogNameError:
        raise SignInRefused(f"{system} has no database of that name: correct its connection string") from None
    except asyncpg.ClientConfigurationError:
        raise SystemRefused(
            f"{system}: its connection string cannot be used: correct the variable that holds it"
        ) from None
    except _AWAY as away:
        if isinstance(away, asyncpg.InterfaceError) and str(away).startswith(_MISUSED):
            raise Refused(f"{system} was asked with arguments that do not fit") from None
        raise Unavailable(f"{system} is away or busy ({type(away).__name__})") from None
    except asyncpg.PostgresError as other:
        raise Refused(f"{system} refused a statement ({type(other).__name__}, {other.sqlstate})") from None


def _missing(system: str, error: asyncpg.UndefinedTableError) -> Refused:
    """Which table is missing: one of ours, or one that is declared."""
    return (
        unprepared(system)
        if "dsr_platform." in str(error)
        else TableMissing(f"{system}: a declared table does not exist")
    )
