"""What each service's own database role may do; a role that does not exist (on one machine none does) is passed by.

Every service changes its own schema and the vault, and can add to the evidence but never change it.
"""

from collections.abc import Iterator

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from shared.domain.topics import ServiceName

AUTOSCALER = "dsr_autoscaler"
"""The role with which the scaler counts tasks, and can do nothing else."""

DASHBOARDS = "dsr_dashboards"
"""The role with which the privacy team's Grafana reads what was done and when it is due, never who it is about."""

FULFILLING = (ServiceName.ERASURE, ServiceName.EXPORT, ServiceName.AMENDMENT, ServiceName.DEADLINE)
"""The services that have tasks."""


def role(service: ServiceName) -> str:
    """The database role of a service."""
    return f"dsr_{service}"


def grants(service: ServiceName) -> Iterator[str]:
    """The statements that give a service's role what it needs, each harmless when repeated."""
    name = role(service)
    for schema in (service.value, "vault"):
        yield f"GRANT USAGE ON SCHEMA {schema} TO {name}"
        yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {name}"
    yield f"GRANT USAGE ON SCHEMA evidence TO {name}"
    yield f"GRANT SELECT, INSERT ON evidence.entry TO {name}"
    yield f"GRANT SELECT, INSERT, UPDATE ON evidence.head TO {name}"
    yield f"GRANT SELECT ON public.migration TO {name}"


def autoscaler_grants() -> Iterator[str]:
    """The statements that let the scaler count tasks."""
    for service in FULFILLING:
        yield f"GRANT USAGE ON SCHEMA {service} TO {AUTOSCALER}"
        yield f"GRANT SELECT (state, due_on) ON {service}.task TO {AUTOSCALER}"


def dashboards_grants() -> Iterator[str]:
    """The statements that let the dashboard of one request read its evidence and its dates."""
    for schema, table in (("evidence", "entry"), ("deadline", "clock")):
        yield f"GRANT USAGE ON SCHEMA {schema} TO {DASHBOARDS}"
        yield f"GRANT SELECT ON {schema}.{table} TO {DASHBOARDS}"


async def give(connection: asyncpg.Connection | PoolConnectionProxy) -> list[str]:
    """Gives every role that exists what it needs, in the caller's transaction; returns their names."""
    roles = {role(service): grants(service) for service in ServiceName}
    roles |= {AUTOSCALER: autoscaler_grants(), DASHBOARDS: dashboards_grants()}
    rows = await connection.fetch("SELECT rolname FROM pg_roles WHERE rolname = ANY($1)", list(roles))
    there = sorted(row[0] for row in rows)
    for name in there:
        for statement in roles[name]:
            await connection.execute(statement)
    return there
